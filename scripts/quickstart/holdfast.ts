/** The command as a script uses it: `--json`, one object a line, the last one is the result. */
import { join } from 'node:path';
import { runCommand } from './run-command.ts';

export type HoldfastRequest = {
  readonly root: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
};

export type HoldfastResult = { readonly result: Readonly<Record<string, unknown>>; readonly seconds: number };

/** @throws Error with what the command printed when it fails or ends without a result. */
export async function holdfast({ root, args, environment = {}, signal }: HoldfastRequest): Promise<HoldfastResult> {
  const { stdout, seconds } = await runCommand({
    program: join(root, 'bin/holdfast'),
    args: [...args, '--json'],
    environment,
    signal,
  });
  const last: unknown = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  if (typeof last !== 'object' || last === null) throw new Error(`holdfast ${args.join(' ')}: no result\n${stdout}`);
  return { result: { ...last }, seconds };
}

/** The restore point's id in the result of `backup`. */
export function pointOf({ result }: HoldfastResult): string {
  if (typeof result['point'] !== 'string') throw new Error(`no restore point in ${JSON.stringify(result)}`);
  return result['point'];
}

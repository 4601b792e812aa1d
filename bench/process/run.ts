/** Runs a helper program whose time does not matter. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export type RunOptions = {
  readonly command: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Written to its standard input. */
  readonly input?: string;
  readonly signal?: AbortSignal | undefined;
};

/** @returns what it printed on standard output. @throws Error with its standard error when it exits with another code than 0. */
export async function run(options: RunOptions): Promise<string> {
  const [program, ...args] = options.command;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: 'pipe',
    signal: options.signal,
  });
  const output: Buffer[] = [];
  const complaints: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => output.push(data));
  child.stderr.on('data', (data: Buffer) => complaints.push(data));
  // A program that ends before it read its input is judged by its exit code.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const [code, killedBy] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) {
    throw new Error(`${options.command.join(' ')}: exit ${code ?? killedBy}\n${Buffer.concat(complaints).toString()}`);
  }
  return Buffer.concat(output).toString();
}

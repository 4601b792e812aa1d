/** Runs the real `bin/holdfast`, as a script would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export const program = join(import.meta.dirname, '../../../bin/holdfast');

export type Run = {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The objects of --json; empty without it. */
  readonly objects: readonly Readonly<Record<string, unknown>>[];
};

export type Started = {
  readonly child: ChildProcess;
  readonly ended: Promise<Run>;
  /** Resolves with the first object of --json that has this type; rejects when the command ends without one. */
  object(type: string): Promise<Readonly<Record<string, unknown>>>;
};

export type Environment = Readonly<Record<string, string>>;

/** Passphrases of the surroundings are not inherited. @param options.ownGroup as a shell starts it: a group leader */
export function startHoldfast(
  words: readonly string[],
  environment: Environment = {},
  options: { readonly ownGroup?: boolean } = {},
): Started {
  const {
    HOLDFAST_PASSPHRASE: _old,
    HOLDFAST_NEW_PASSPHRASE: _new,
    HOLDFAST_TO_PASSPHRASE: _to,
    HOLDFAST_DEBUG: _debug,
    ...inherited
  } = process.env;
  const child = spawn(program, [...words], {
    env: { ...inherited, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: options.ownGroup ?? false,
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  }
  const isJson = words.includes('--json');
  const ended = once(child, 'close').then(([code]: unknown[]): Run => {
    const objects = isJson ? objectsOf(printed.stdout) : [];
    return { code: typeof code === 'number' ? code : null, ...printed, objects };
  });
  const object = async (type: string): Promise<Readonly<Record<string, unknown>>> => {
    for (;;) {
      const found = objectsOf(printed.stdout).find((candidate) => candidate['type'] === type);
      if (found) return found;
      const run = await Promise.race([ended, once(child.stdout, 'data').then(() => undefined)]);
      if (run && !run.objects.some((candidate) => candidate['type'] === type)) {
        throw new Error(`holdfast ${words.join(' ')} ended (${run.code}) without ${type}\n${run.stdout}${run.stderr}`);
      }
    }
  };
  return { child, ended, object };
}

export async function runHoldfast(words: readonly string[], environment: Environment = {}): Promise<Run> {
  return await startHoldfast(words, environment).ended;
}

/** The result of a command that must succeed. @throws Error with all that it printed */
export async function holdfast(
  words: readonly string[],
  environment: Environment = {},
): Promise<Readonly<Record<string, unknown>>> {
  const run = await runHoldfast([...words, '--json'], environment);
  const last = run.objects.at(-1);
  if (run.code !== 0 || last?.['type'] !== 'result') {
    throw new Error(`holdfast ${words.join(' ')}: exit code ${run.code}\n${run.stdout}${run.stderr}`);
  }
  return last;
}

/** Whole lines only: the last one may still be on its way. */
function objectsOf(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  const lines = stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n');
  return lines.filter((line) => line !== '').map((line): Readonly<Record<string, unknown>> => JSON.parse(line));
}

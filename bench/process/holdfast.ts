/** The command under test, with its caches in a folder of the bench, and what it prints. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type TimedResult, timedRun } from './timed-run.ts';

const program = join(import.meta.dirname, '../../bin/holdfast');

export type HoldfastRun = {
  /** The repository's folder. */
  readonly repository: string;
  /** Without `--storage` and `--json`. */
  readonly words: readonly string[];
  /** Where its caches are. */
  readonly caches: string;
  /** More of its environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
};

export function holdfastCommand({ repository, words, caches, env, signal }: HoldfastRun) {
  const storage = ['--storage', pathToFileURL(repository).href, '--json'];
  return { command: [program, ...words, ...storage], env: { XDG_CACHE_HOME: caches, ...env }, signal } as const;
}

/** @throws Error with what it printed when it fails */
export async function timedHoldfast(
  request: HoldfastRun,
): Promise<TimedResult & { readonly result: Readonly<Record<string, unknown>> }> {
  const timed = await timedRun(holdfastCommand(request));
  return { ...timed, result: resultOf(timed.stdout) };
}

/** The last object that a command with `--json` printed. */
export function resultOf(stdout: string): Readonly<Record<string, unknown>> {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '{}');
}

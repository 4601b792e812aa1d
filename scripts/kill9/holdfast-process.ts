/** The real command as a child process that leads a process group of its own, and how it ended: by itself or by kill -9. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** `command`: only the process itself, as the kernel does when memory is short; what it started has to notice. */
export type KillScope = 'group' | 'command';

export type Environment = Readonly<Record<string, string>>;

export type Run = {
  readonly words: readonly string[];
  readonly outcome: 'done' | 'failed' | 'killed';
  /** Of the problem that it printed. */
  readonly code: string | undefined;
  /** A result that was printed is a promise, also when the command was killed thereafter. */
  readonly result: Readonly<Record<string, unknown>> | undefined;
  /** All that it printed. */
  readonly printed: string;
  readonly durationMs: number;
};

/** How long what a killed command had started may live on. */
const patienceMs = 20_000;

const program = join(import.meta.dirname, '../../bin/holdfast');

export class HoldfastProcess {
  readonly ended: Promise<Run>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, words: readonly string[]) {
    this.#child = child;
    this.ended = this.#end(words);
  }

  /** @param request.environment in addition to this process's */
  static start(request: { readonly words: readonly string[]; readonly environment: Environment }): HoldfastProcess {
    const words = [...request.words, '--json'];
    const child = spawn(program, words, {
      env: { ...process.env, ...request.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    return new HoldfastProcess(child, words);
  }

  kill(scope: KillScope): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      process.kill(scope === 'group' ? -pid : pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** @throws Error when processes of its group live on */
  async #end(words: readonly string[]): Promise<Run> {
    const startedMs = performance.now();
    const child = this.#child;
    let stdout = '';
    let stderr = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [exitCode, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    const durationMs = performance.now() - startedMs;
    await groupGone(child.pid!);
    const last = objectsOf(stdout).at(-1);
    return {
      words,
      outcome: signal === 'SIGKILL' ? 'killed' : exitCode === 0 ? 'done' : 'failed',
      code: typeof last?.['code'] === 'string' ? last['code'] : undefined,
      result: objectsOf(stdout).find(({ type }) => type === 'result'),
      printed: `${stdout}${stderr}`,
      durationMs,
    };
  }
}

/** Whole lines only: of a killed command the last one may be cut off. */
function objectsOf(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  const lines = stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n');
  return lines.filter((line) => line !== '').map((line): Readonly<Record<string, unknown>> => JSON.parse(line));
}

async function groupGone(group: number): Promise<void> {
  const untilMs = performance.now() + patienceMs;
  for (;;) {
    const left = await processesOf(group);
    if (left.length === 0) return;
    if (performance.now() > untilMs) throw new Error(`left running by a command that ended: ${left.join('; ')}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

/** Those that run; one that has ended and was not waited for counts as gone. */
async function processesOf(group: number): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
    const [state, , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(itsGroup) === group && state !== 'Z' && state !== 'X') {
      found.push(`${pid} ${stat.slice(stat.indexOf('('), stat.lastIndexOf(')') + 1)}`);
    }
  }
  return found;
}

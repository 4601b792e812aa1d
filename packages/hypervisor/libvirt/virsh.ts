/** The one way to libvirt: calls of virsh, their documents in files, their English answers. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/base';
import { libvirtError } from './libvirt-errors.ts';
import { runVirshProcess, type VirshEnd } from './virsh-process.ts';
import { VirshSessions } from './virsh-session.ts';
import { quoted } from './virsh-words.ts';

export type VirshRun = {
  /** The command and its words. A word that begins with a dash and is no option must be given as `--option=value`. */
  readonly args: readonly string[];
  /** What is being done, for messages: "start web1". */
  readonly doing: string;
  /** Documents that virsh reads from files; their paths follow `args` in this order. */
  readonly documents?: readonly string[];
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
};

export type Outcome =
  | { readonly ok: true; readonly output: string; readonly endedMs: number }
  | { readonly ok: false; readonly error: HoldfastError; readonly endedMs: number };

/** libvirt itself waits up to 30 s for a lock before it answers. */
const TIMEOUT_MS = 60_000;

export class Virsh {
  readonly uri: string;
  readonly #sessions: VirshSessions;

  constructor(uri: string) {
    this.uri = uri;
    this.#sessions = new VirshSessions(uri);
  }

  /**
   * Standard output of the call. On abort or time-out virsh is killed, and has ended, before the promise rejects;
   * what it had asked libvirt to do may still happen.
   * @throws libvirt_timeout, and what libvirt-errors.ts derives from the message
   */
  async run(run: VirshRun): Promise<string> {
    const { doing, timeoutMs = TIMEOUT_MS, signal } = run;
    await using documents = await writeDocuments([run]);
    const words = documents.words[0] ?? [];
    const end = VirshSessions.takes(words)
      ? await this.#sessions.run({ words, timeoutMs, signal })
      : await runVirshProcess({ uri: this.uri, words, timeoutMs, signal });
    if (end.code === 0) return end.stdout;
    throw failure({ doing, end, text: end.stderr, timeoutMs });
  }

  /**
   * Calls one after the other by one process over one connection, all of them whatever becomes of those before. The death of
   * this program does not stop it on its way; their time limits together do, and `signal` (those of the calls do not).
   * @returns an outcome for each, with when it ended (performance.now())
   * @throws libvirt_unreachable when virsh is not installed
   */
  async runTogether(
    runs: readonly VirshRun[],
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly Outcome[]> {
    await using documents = await writeDocuments(runs);
    // Told on both outputs after each call; virsh puts "error: " before it on stderr and nothing after it on stdout.
    const marks = runs.map(() => `end-${randomUUID()}`);
    const script = documents.words.map(
      (words, index) => `${words.map(quoted).join(' ')}; echo --err ${marks[index]}; echo ${marks[index]}`,
    );
    const timeoutMs = runs.reduce((sum, run) => sum + (run.timeoutMs ?? TIMEOUT_MS), 0);
    const endedMs: number[] = [];
    const onErrorText = (text: string): void => {
      while (endedMs.length < marks.length && text.includes(marks[endedMs.length] ?? ''))
        endedMs.push(performance.now());
    };
    const end = await runVirshProcess({ uri: this.uri, words: [script.join('; ')], timeoutMs, signal, onErrorText });
    const rest = { stdout: end.stdout, stderr: end.stderr };
    return runs.map(({ doing }, index) => {
      const mark = marks[index] ?? '';
      const at = endedMs[index] ?? performance.now();
      const [output, text] = [takeUntil(rest, 'stdout', mark), takeUntil(rest, 'stderr', `error: ${mark}\n`)];
      if (output !== undefined && text !== undefined && !/^error: /m.test(text))
        return { ok: true, output, endedMs: at };
      const error = failure({ doing, end, text: text ?? end.stderr, timeoutMs });
      return { ok: false, error, endedMs: at };
    });
  }
}

/** Takes what comes before the mark off the text; undefined when the mark is not there. */
function takeUntil(
  rest: { stdout: string; stderr: string },
  name: 'stdout' | 'stderr',
  mark: string,
): string | undefined {
  const at = rest[name].indexOf(mark);
  if (at < 0) return undefined;
  const text = rest[name].slice(0, at);
  rest[name] = rest[name].slice(at + mark.length);
  return text;
}

function failure(options: { doing: string; end: VirshEnd; text: string; timeoutMs: number }): HoldfastError {
  const { doing, end, text, timeoutMs } = options;
  if (end.timedOut) return new HoldfastError('libvirt_timeout', `${doing}: no answer within ${timeoutMs / 1000} s`);
  return libvirtError({ doing, text: text.trim() === '' ? `virsh ended with ${end.code}` : text });
}

/** The words of each call, with the paths of its documents at their end. */
async function writeDocuments(
  runs: readonly VirshRun[],
): Promise<AsyncDisposable & { readonly words: readonly (readonly string[])[] }> {
  if (runs.every(({ documents = [] }) => documents.length === 0)) {
    return { words: runs.map(({ args }) => args), [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-virsh-'));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const words: string[][] = [];
    for (const [number, { args, documents = [] }] of runs.entries()) {
      const paths = documents.map((_, index) => join(directory, `${number}-${index}.xml`));
      for (const [index, path] of paths.entries()) await writeFile(path, documents[index] ?? '');
      words.push([...args, ...paths]);
    }
    return { words, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

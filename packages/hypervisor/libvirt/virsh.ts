/**
 * The one place that runs virsh: a process for each call (17-20 ms), its English messages, its end awaited. It stands in
 * a session of its own, so that Ctrl-C at a terminal cannot cut a call in half: only the signal given ends it.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { HoldfastError, MiB } from '@holdfast/base';
import { libvirtError } from './libvirt-errors.ts';

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

/** libvirt itself waits up to 30 s for a lock before it answers. */
const TIMEOUT_MS = 60_000;
/** The XML of a machine is some 10 KB; an agent's answer holds at most 16 MiB in base64. */
const OUTPUT_LIMIT_BYTES = 64 * MiB;
/** Of `env`, for a program that it does not find. */
const NOT_INSTALLED = 127;
/** Error output kept for messages. */
const STDERR_LIMIT_CHARACTERS = 8192;

export class Virsh {
  readonly uri: string;

  constructor(uri: string) {
    this.uri = uri;
  }

  /**
   * Standard output of the call. On abort or time-out virsh is killed, and has ended, before the promise rejects;
   * what it had asked libvirt to do may still happen.
   * @throws libvirt_timeout, and what libvirt-errors.ts derives from the message
   */
  async run(run: VirshRun): Promise<string> {
    const { documents = [] } = run;
    if (documents.length === 0) return await this.#run(run, run.args);
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-virsh-'));
    try {
      const paths = documents.map((_, index) => join(directory, `${index}.xml`));
      for (const [index, path] of paths.entries()) await writeFile(path, documents[index] ?? '');
      return await this.#run(run, [...run.args, ...paths]);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async #run({ doing, timeoutMs = TIMEOUT_MS, signal }: VirshRun, args: readonly string[]): Promise<string> {
    signal?.throwIfAborted();
    const child = spawn('env', ['LC_ALL=C', 'virsh', '--quiet', '--connect', this.uri, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const limit = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([limit, ...(signal ? [signal] : [])]);
    const kill = (): void => void child.kill('SIGKILL');
    stop.addEventListener('abort', kill, { once: true });
    const { error, exitCode, stdout, stderr } = await outcome(child);
    stop.removeEventListener('abort', kill);
    signal?.throwIfAborted();
    if (exitCode === NOT_INSTALLED) throw virshMissing();
    if (exitCode === 0) return stdout;
    if (limit.aborted) {
      throw new HoldfastError('libvirt_timeout', `${doing}: no answer within ${timeoutMs / 1000} s`);
    }
    throw libvirtError({ doing, text: stderr || `virsh ended with ${exitCode ?? String(error)}`, cause: error });
  }
}

type Outcome = {
  readonly error?: unknown;
  readonly exitCode?: number | string;
  readonly stdout: string;
  readonly stderr: string;
};

/** Never rejects. Too much output ends the process. */
async function outcome(child: ChildProcessByStdio<null, Readable, Readable>): Promise<Outcome> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_LIMIT_BYTES) chunks.push(chunk);
    else child.kill('SIGKILL');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < STDERR_LIMIT_CHARACTERS) stderr += text;
  });
  const output = (): Pick<Outcome, 'stdout' | 'stderr'> => ({ stdout: Buffer.concat(chunks).toString('utf8'), stderr });
  try {
    const [code, signalName] = (await once(child, 'close')) as [number | null, string | null];
    return { exitCode: code ?? signalName ?? 'unknown', ...output() };
  } catch (error) {
    return { error, ...output() };
  }
}

function virshMissing(): HoldfastError {
  return new HoldfastError('libvirt_unreachable', 'the program virsh is not installed', {
    remedy: 'apt-get install libvirt-clients',
    facts: { program: 'virsh' },
  });
}

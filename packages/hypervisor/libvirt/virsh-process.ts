/**
 * One process of virsh. It stands in a session of its own and minds no closed pipe, so that neither Ctrl-C at a terminal
 * nor the end of this program cuts in half what it does; only the signal given, or the time limit, ends it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { HoldfastError, MiB } from '@holdfast/base';

export type VirshProcess = {
  readonly uri: string;
  readonly words: readonly string[];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Told everything that was said on stderr so far, each time when there is more. */
  readonly onErrorText?: (text: string) => void;
};

export type VirshEnd = {
  /** Its exit code, the name of the signal that ended it, or why it did not start. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
};

/** The XML of a machine is some 10 KB; an agent's answer holds at most 16 MiB in base64. More ends the process. */
export const OUTPUT_LIMIT_BYTES = 64 * MiB;
/** Error output kept for messages. */
const STDERR_LIMIT_CHARACTERS = 64 * 1024;
/** Of `env` and `stdbuf`, for a program that they do not find. */
export const virshNotInstalled = 127;

/** Waits for its end in every case. @throws libvirt_unreachable when virsh is not installed, the reason of `signal` */
export async function runVirshProcess(request: VirshProcess): Promise<VirshEnd> {
  const { uri, words, timeoutMs, signal, onErrorText } = request;
  signal?.throwIfAborted();
  const child = spawn('env', ['--ignore-signal=PIPE', 'LC_ALL=C', 'virsh', '--quiet', '--connect', uri, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const kill = (): void => void child.kill('SIGKILL');
  const chunks: Buffer[] = [];
  let bytes = 0;
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_LIMIT_BYTES) chunks.push(chunk);
    else kill();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < STDERR_LIMIT_CHARACTERS) stderr += text;
    onErrorText?.(stderr);
  });
  const limit = AbortSignal.timeout(timeoutMs);
  const stop = AbortSignal.any([limit, ...(signal ? [signal] : [])]);
  stop.addEventListener('abort', kill, { once: true });
  let code: number | string;
  try {
    const [exitCode, signalName] = (await once(child, 'close')) as [number | null, string | null];
    code = exitCode ?? signalName ?? 'unknown';
  } catch (error) {
    code = error instanceof Error ? error.message : String(error);
  }
  stop.removeEventListener('abort', kill);
  signal?.throwIfAborted();
  if (code === virshNotInstalled) throw virshMissing();
  return { code, stdout: Buffer.concat(chunks).toString('utf8'), stderr, timedOut: limit.aborted && code !== 0 };
}

export function virshMissing(): HoldfastError {
  return new HoldfastError('libvirt_unreachable', 'the program virsh is not installed', {
    remedy: 'apt-get install libvirt-clients',
    facts: { program: 'virsh' },
  });
}

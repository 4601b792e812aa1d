/** The one place that runs qemu-img: short commands whole, `map` line by line. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { systemErrorCode } from '@holdfast/base';
import { type ImageRole, qemuError, qemuMissing } from './qemu-errors.ts';

export type QemuImgRun = {
  readonly args: readonly string[];
  /** What is being done, for the error: "read the map of disk.raw". */
  readonly doing: string;
  readonly role: ImageRole;
  readonly signal?: AbortSignal | undefined;
};

/** Error output kept for the message; qemu-img may repeat one complaint per request. */
const STDERR_LIMIT_CHARACTERS = 8192;

/**
 * Runs qemu-img to its end and gives its standard output. On abort the process is killed before the promise rejects.
 * @throws qemu_failed and what qemu-errors.ts derives from the message
 */
export async function runQemuImg(run: QemuImgRun): Promise<string> {
  let output = '';
  for await (const chunk of streamQemuImg(run)) output += chunk;
  return output;
}

/**
 * The same, line by line (a report of progress ends with a carriage return, and is one too): memory stays bounded however
 * long the output is. Leaving the loop early ends the process.
 */
export async function* qemuImgLines(run: QemuImgRun): AsyncGenerator<string, void, undefined> {
  let rest = '';
  for await (const chunk of streamQemuImg(run)) {
    const lines = (rest + chunk).split(/[\n\r]/);
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}

async function* streamQemuImg({ args, doing, role, signal }: QemuImgRun): AsyncGenerator<string, void, undefined> {
  signal?.throwIfAborted();
  const child = spawn('qemu-img', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = outcome(child);
  const kill = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  let finished = false;
  try {
    child.stdout.setEncoding('utf8');
    for await (const chunk of child.stdout) yield chunk as string;
    finished = true;
  } finally {
    signal?.removeEventListener('abort', kill);
    if (!finished) {
      kill();
      await ended;
    }
  }
  const { error, exitCode, stderr } = await ended;
  signal?.throwIfAborted();
  if (error !== undefined) {
    if (systemErrorCode(error) === 'ENOENT') throw qemuMissing('qemu-img', error);
    throw qemuError({
      role,
      doing,
      text: error instanceof Error ? error.message : 'qemu-img did not start',
      cause: error,
    });
  }
  if (exitCode !== 0) throw qemuError({ role, doing, text: stderr || `qemu-img ended with ${exitCode}` });
}

type Outcome = { readonly error?: unknown; readonly exitCode?: number | string; readonly stderr: string };

/** Never rejects, so that it may be awaited late. */
async function outcome(child: ChildProcessByStdio<null, Readable, Readable>): Promise<Outcome> {
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < STDERR_LIMIT_CHARACTERS) stderr += text;
  });
  try {
    const [code, signalName] = (await once(child, 'close')) as [number | null, string | null];
    return { exitCode: code ?? signalName ?? 'unknown', stderr };
  } catch (error) {
    return { error, stderr };
  }
}

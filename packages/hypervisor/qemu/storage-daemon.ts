/**
 * A qemu-storage-daemon of our own: private socket directory, QMP on its standard streams (its answers tell when an
 * export is ready, so nothing polls or sleeps), and death with its parent, also by kill -9.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ImageRole, qemuError, qemuMissing } from './qemu-errors.ts';
import { QmpSession } from './qmp-session.ts';

export interface StorageDaemon extends AsyncDisposable {
  /** A directory that only this user can enter, removed at the end. */
  readonly directory: string;
  readonly pid: number;
  /**
   * Runs one QMP command; `doing` is for the message of the error.
   * @throws qemu_failed and what qemu-errors.ts derives from QEMU's message
   */
  execute(request: {
    readonly command: string;
    readonly args?: Readonly<Record<string, unknown>>;
    readonly doing: string;
    readonly role: ImageRole;
  }): Promise<unknown>;
  /** Ends it and waits: images are closed in good order (bitmaps stored, caches written), for which disposing kills. */
  quit(): Promise<void>;
}

const PROGRAM = 'qemu-storage-daemon';

/**
 * glibc otherwise maps and unmaps every buffer of a request anew, and the page faults cost half of the throughput:
 * 1.6 GB/s without, 3.2 GB/s with these (bench/nbd.ts, two cores). What is kept instead is bounded by the requests in
 * flight.
 */
const KEEP_BUFFERS = [
  'MALLOC_MMAP_THRESHOLD_=33554432',
  'MALLOC_TRIM_THRESHOLD_=268435456',
  'MALLOC_TOP_PAD_=16777216',
] as const;

/** Error output kept for messages. */
const STDERR_LIMIT_CHARACTERS = 8192;

/**
 * The daemon dies with the thread that called this: call it from one that lives as long as the daemon is needed.
 * @throws qemu_failed
 */
export async function startStorageDaemon(options: {
  readonly signal?: AbortSignal | undefined;
}): Promise<StorageDaemon> {
  options.signal?.throwIfAborted();
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-qsd-'));
  const supervisor = [...KEEP_BUFFERS, 'setpriv', '--pdeathsig', 'KILL'];
  const args = [...supervisor, PROGRAM, '--chardev', 'stdio,id=qmp,signal=off', '--monitor', 'qmp'];
  const child = spawn('env', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const qmp = new QmpSession({ input: child.stdin, output: child.stdout });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < STDERR_LIMIT_CHARACTERS) stderr += text;
  });
  const ended = endOf(child).then((end) => qmp.fail(endError(end, stderr)));
  const onAbort = (): void => void child.kill('SIGKILL');
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const end = async (): Promise<void> => {
    options.signal?.removeEventListener('abort', onAbort);
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  return {
    directory,
    pid: child.pid ?? -1,
    async execute({ command, args, doing, role }) {
      const reply = await qmp.execute(command, args).catch((error: unknown) => {
        options.signal?.throwIfAborted();
        throw error;
      });
      if (!reply.ok) throw qemuError({ role, doing, text: reply.text });
      return reply.value;
    },
    async quit() {
      await qmp.execute('quit').catch(() => undefined);
      await end();
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await end();
    },
  };
}

type End = { readonly error?: unknown; readonly code?: number | string };

async function endOf(child: ChildProcess): Promise<End> {
  try {
    const [code, signalName] = (await once(child, 'close')) as [number | null, string | null];
    return { code: code ?? signalName ?? 'unknown' };
  } catch (error) {
    return { error };
  }
}

function endError({ error, code }: End, stderr: string): Error {
  if (/^env: .*setpriv/.test(stderr)) return qemuMissing('setpriv', error);
  // setpriv could not execute the program: 127, or 1 in older versions.
  if (/setpriv: failed to execute/.test(stderr)) return qemuMissing(PROGRAM);
  return qemuError({ role: 'source', doing: PROGRAM, text: stderr || `it ended with ${code}`, cause: error });
}

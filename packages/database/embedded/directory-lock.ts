/**
 * One supervisor per directory. The lock is an flock that this process holds and that every PostgreSQL process inherits
 * with the descriptor, so that it ends with the last of them, also by kill -9, and also between containers.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { busyError, directoryError, programError } from './embedded-errors.ts';

export type DirectoryLock = AsyncDisposable & { readonly descriptor: number };

/** PostgreSQL processes whose postmaster was killed end within a second or two; a server that lives is not waited for longer. */
const WAIT_SECONDS = 4;
const REFUSED = 75;

/** @throws database_busy database_directory_unusable database_full */
export async function lockDirectory({ directory }: { readonly directory: string }): Promise<DirectoryLock> {
  const handle = await open(join(directory, 'lock'), 'a', 0o600).catch((error: unknown) => {
    throw directoryError(directory, error);
  });
  try {
    // The lock belongs to the open file that flock shares with us: it stays when flock has ended.
    const args = ['--exclusive', '--wait', String(WAIT_SECONDS), '--conflict-exit-code', String(REFUSED), '3'];
    const child = spawn('flock', args, { stdio: ['ignore', 'ignore', 'pipe', handle.fd] });
    let text = '';
    child.stderr?.setEncoding('utf8').on('data', (data: string) => {
      text += data;
    });
    const [code] = (await once(child, 'close')) as [number | null];
    if (code === REFUSED) throw busyError(directory, 'another server');
    if (code !== 0) throw programError({ program: 'flock', directory, text });
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { descriptor: handle.fd, [Symbol.asyncDispose]: () => handle.close() };
}

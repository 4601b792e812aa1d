/**
 * The data of one PostgreSQL: made once, whole or not at all, and looked at before each start. For the holder of the
 * directory's lock only.
 */
import { once } from 'node:events';
import { chmod, chown, mkdir, open, readdir, readFile, readlink, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, systemErrorCode } from '@holdfast/base';
import { busyError, directoryError, programError } from './embedded-errors.ts';
import { majorVersion, type Runtime } from './runtime.ts';
import { startProgram } from './unprivileged-process.ts';
import type { UnprivilegedUser } from './unprivileged-user.ts';

export type DataDirectory = {
  /** Holds `data` and all the rest. */
  readonly directory: string;
  readonly data: string;
  readonly runtime: Runtime;
  readonly user: UnprivilegedUser | undefined;
  readonly lockDescriptor: number;
};

/** The role that owns everything; with the socket in a private directory, nobody else can come as it. */
export const embeddedRole = 'holdfast';

/**
 * Afterwards `data` holds a database of this version that no process uses.
 * @throws database_unsupported database_busy database_full database_directory_unusable database_failed
 */
export async function prepareData(request: DataDirectory): Promise<void> {
  const { directory, data } = request;
  try {
    if (!(await exists(data))) await makeData(request);
    await checkVersion(data);
    await checkUnused(request);
    // What names a process that is gone; its number may be somebody else's by now, which PostgreSQL would believe in.
    await rm(join(data, 'postmaster.pid'), { force: true });
  } catch (error) {
    throw directoryError(directory, error);
  }
}

/** A directory of the database's own, to be entered by its user and by root alone. */
export async function makePrivateDirectory(path: string, user: UnprivilegedUser | undefined): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

async function makeData(request: DataDirectory): Promise<void> {
  const { directory, data } = request;
  const unfinished = join(directory, 'data-unfinished');
  await rm(unfinished, { recursive: true, force: true });
  await makePrivateDirectory(unfinished, request.user);
  await runInitdb(request, unfinished);
  await rename(unfinished, data);
  await flushDirectory(directory);
}

/** Text sorts by code point, so that an update of the C library can never make an index wrong. */
async function runInitdb({ directory, runtime, user, lockDescriptor }: DataDirectory, place: string): Promise<void> {
  // One flush of the file system instead of one for each of a thousand files: 1.0 s instead of 2.2 s (docs/adr/0013).
  const flush = '--sync-method=syncfs';
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const args = [
    `--pgdata=${place}`,
    `--username=${embeddedRole}`,
    '--auth=trust',
    '--no-instructions',
    flush,
    ...locale,
  ];
  const child = startProgram({ program: runtime.initdb, args, user, lockDescriptor });
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (data: string) => {
    text += data;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw programError({ program: 'initdb', directory, user, text });
}

async function flushDirectory(path: string): Promise<void> {
  await using handle = await open(path);
  await handle.sync();
}

async function checkVersion(data: string): Promise<void> {
  const found = (await readFile(join(data, 'PG_VERSION'), 'utf8').catch(notThere))?.trim();
  if (found === String(majorVersion)) return;
  if (found === undefined) {
    const names = (await readdir(data)).slice(0, 5);
    throw new HoldfastError(
      'database_directory_unusable',
      `${data} holds no database, but ${names.join(', ') || 'nothing'}.`,
      {
        remedy: 'Remove it, or use another directory.',
      },
    );
  }
  throw new HoldfastError(
    'database_unsupported',
    `${data} was made by PostgreSQL ${found}; this program brings PostgreSQL ${majorVersion}.`,
    { facts: { data, found, wanted: majorVersion } },
  );
}

/** Who holds no lock of ours but serves the data all the same: somebody started PostgreSQL by hand. */
async function checkUnused({ directory, data }: DataDirectory): Promise<void> {
  const pid = Number.parseInt((await readFile(join(data, 'postmaster.pid'), 'utf8').catch(notThere)) ?? '', 10);
  if (Number.isNaN(pid)) return;
  const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  if (workingDirectory === data) throw busyError(directory, `a PostgreSQL that Holdfast did not start, process ${pid}`);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(notThere)) !== undefined;
}

function notThere(error: unknown): undefined {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}

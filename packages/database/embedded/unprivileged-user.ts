/**
 * Who PostgreSQL runs as: it refuses to be root, and a database that is broken into should not be root either. Not as root,
 * it is who we are.
 */
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { HoldfastError, systemErrorCode } from '@holdfast/base';

export type UnprivilegedUser = { readonly name: string; readonly uid: number; readonly gid: number };

/** The first that exists. `nobody` is everywhere, but may be somebody else's user too; packages make `holdfast`. */
const accounts = ['holdfast', 'nobody'];

/**
 * Undefined when this process is not root. A data directory keeps the user that it belongs to.
 * @throws database_failed where neither account exists
 */
export async function chooseUser({ data }: { readonly data: string }): Promise<UnprivilegedUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await ownerOf(data);
  if (owner !== undefined && owner.uid !== 0) return { ...owner, name: `user ${owner.uid}` };
  for (const line of await accountLines()) {
    const [name = '', , uid, gid] = line.split(':');
    if (accounts.includes(name)) return { name, uid: Number(uid), gid: Number(gid) };
  }
  throw new HoldfastError(
    'database_failed',
    'As root, PostgreSQL needs another user to run as, and there is neither holdfast nor nobody.',
    { remedy: 'Make one: useradd --system holdfast.' },
  );
}

async function ownerOf(data: string): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  try {
    return await stat(data);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** getent answers 2 when one of them is missing, and tells the others all the same. */
async function accountLines(): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)('getent', ['passwd', ...accounts]).catch(
    (error: { stdout?: string }) => ({
      stdout: error.stdout ?? '',
    }),
  );
  return stdout.split('\n');
}

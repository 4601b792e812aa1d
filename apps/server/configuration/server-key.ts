/** The key that secrets in the database are sealed with: a file of 64 hexadecimal digits, made at the first start. */
import { createHmac, randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, HoldfastError, systemErrorCode } from '@holdfast/base';
import { type Database, inTransaction } from '@holdfast/database';
import { serverKeyBytes } from '@holdfast/domain';

/** @throws configuration_invalid when it cannot be read or made, or holds something else */
export async function readServerKey(file: string): Promise<Buffer> {
  try {
    const text = (await readOrMake(file)).trim();
    if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, 'hex');
    throw new HoldfastError('configuration_invalid', `${file} holds no key of a Holdfast server.`, {
      remedy: 'Bring back the file as it was: secrets in the database open with no other key.',
    });
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof HoldfastError || code === undefined) throw error;
    throw new HoldfastError('configuration_invalid', `The key ${file} can be neither read nor made: ${code}.`, {
      cause: error,
      remedy: 'Name a place with HOLDFAST_SERVER_KEY_FILE that this user may write to.',
    });
  }
}

async function readOrMake(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  await makeKey(file);
  return await readFile(file, 'utf8');
}

/** Whole or not at all, also with a power cut; of two servers that start at once, one makes it. */
async function makeKey(file: string): Promise<void> {
  const temporary = `${file}.${process.pid}.new`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(`${randomBytes(serverKeyBytes).toString('hex')}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await link(temporary, file).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    });
  } finally {
    await rm(temporary, { force: true });
  }
  const directory = await open(dirname(file), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

const checkName = 'server_key_check';

/**
 * Whether the key is the one that this database is used with; the first start decides. Better now than when the first
 * secret does not open. @throws server_key_wrong
 */
export async function checkServerKey(request: {
  readonly db: Database['db'];
  readonly clock: Clock;
  readonly key: Buffer;
}): Promise<void> {
  const { db, clock, key } = request;
  const check = createHmac('sha256', key).update(checkName).digest('hex');
  await inTransaction({ db }, async (transaction) => {
    const now = new Date(clock.nowMs());
    await transaction
      .insertInto('setting')
      .values({ name: checkName, value: JSON.stringify(check), created_at: now, updated_at: now })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute();
    const kept = await transaction
      .selectFrom('setting')
      .select('value')
      .where('name', '=', checkName)
      .executeTakeFirstOrThrow();
    if (kept.value === check) return;
    throw new HoldfastError('server_key_wrong', 'The database belongs to a server with another key.');
  });
}

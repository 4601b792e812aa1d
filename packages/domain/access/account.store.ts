/** Rows of accounts. */
import type { Schema } from '@holdfast/database';
import type { Insertable, Kysely, Selectable, Transaction, Updateable } from 'kysely';
import type { Sight } from './actor.ts';

export type AccountRow = Selectable<Schema['account']>;

export type AccountFilter = { readonly status?: AccountRow['status'] | undefined };

type Request = { readonly sight: Sight; readonly filter: AccountFilter };

/** Oldest first, from behind `afterId`. */
export async function listAccounts(
  db: Kysely<Schema>,
  request: Request & { readonly afterId?: string | undefined; readonly limit: number },
): Promise<readonly AccountRow[]> {
  const { afterId, limit } = request;
  return await filtered(db, request)
    .selectAll()
    .$if(afterId !== undefined, (query) => query.where('id', '>', afterId!))
    .orderBy('id')
    .limit(limit)
    .execute();
}

export async function countAccounts(db: Kysely<Schema>, request: Request): Promise<number> {
  const { count } = await filtered(db, request)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

export async function findAccount(db: Kysely<Schema>, id: string): Promise<AccountRow | undefined> {
  return await db.selectFrom('account').selectAll().where('id', '=', id).executeTakeFirst();
}

/** Others that change it, or refer to it anew, wait until the transaction ends. */
export async function lockAccount(transaction: Transaction<Schema>, id: string): Promise<AccountRow | undefined> {
  return await transaction.selectFrom('account').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
}

export async function insertAccount(db: Kysely<Schema>, row: Insertable<Schema['account']>): Promise<AccountRow> {
  return await db.insertInto('account').values(row).returningAll().executeTakeFirstOrThrow();
}

export async function updateAccountRow(
  db: Kysely<Schema>,
  request: { readonly id: string; readonly change: Updateable<Schema['account']>; readonly now: Date },
): Promise<AccountRow> {
  return await db
    .updateTable('account')
    .set(request.change)
    .set((row) => ({ updated_at: request.now, version: row('version', '+', 1) }))
    .where('id', '=', request.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function deleteAccountRow(db: Kysely<Schema>, id: string): Promise<void> {
  await db.deleteFrom('account').where('id', '=', id).execute();
}

export async function countMembers(db: Kysely<Schema>, accountId: string): Promise<number> {
  const { count } = await db
    .selectFrom('membership')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('account_id', '=', accountId)
    .executeTakeFirstOrThrow();
  return count;
}

function filtered(db: Kysely<Schema>, { sight, filter }: Request) {
  return db
    .selectFrom('account')
    .$if(sight !== 'everything', (query) => query.where('id', '=', (sight as { accountId: string }).accountId))
    .$if(filter.status !== undefined, (query) => query.where('status', '=', filter.status!));
}

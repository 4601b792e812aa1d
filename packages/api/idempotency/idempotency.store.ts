/** Rows of answers that are kept for a repetition. */
import type { Schema } from '@holdfast/database';
import type { Insertable, Kysely, Selectable } from 'kysely';

type Key = { readonly accountId: string; readonly key: string };

export async function findRecord(
  db: Kysely<Schema>,
  { accountId, key }: Key,
): Promise<Selectable<Schema['idempotency_record']> | undefined> {
  return await db
    .selectFrom('idempotency_record')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('key', '=', key)
    .executeTakeFirst();
}

export async function insertRecord(db: Kysely<Schema>, row: Insertable<Schema['idempotency_record']>): Promise<void> {
  await db.insertInto('idempotency_record').values(row).execute();
}

export async function deleteExpiredRecords(
  db: Kysely<Schema>,
  { accountId, now }: { readonly accountId: string; readonly now: Date },
): Promise<void> {
  await db
    .deleteFrom('idempotency_record')
    .where('account_id', '=', accountId)
    .where('expires_at', '<=', now)
    .execute();
}

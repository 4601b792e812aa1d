/** Rows of API tokens. A revoked one is kept for the audit and seen by nobody. */
import type { Schema } from '@holdfast/database';
import type { Insertable, Kysely, Selectable, Transaction } from 'kysely';

export type ApiTokenRow = Selectable<Schema['api_token']>;

/** Whose tokens: undefined is everybody's. */
export type TokenFilter = { readonly accountId?: string | undefined; readonly userId?: string | undefined };

export async function insertToken(db: Kysely<Schema>, row: Insertable<Schema['api_token']>): Promise<ApiTokenRow> {
  return await db.insertInto('api_token').values(row).returningAll().executeTakeFirstOrThrow();
}

/** Oldest first, from behind `afterId`. */
export async function listTokens(
  db: Kysely<Schema>,
  request: TokenFilter & { readonly afterId?: string | undefined; readonly limit: number },
): Promise<readonly ApiTokenRow[]> {
  const { afterId, limit } = request;
  return await filtered(db, request)
    .selectAll()
    .$if(afterId !== undefined, (query) => query.where('id', '>', afterId!))
    .orderBy('id')
    .limit(limit)
    .execute();
}

export async function countTokens(db: Kysely<Schema>, request: TokenFilter): Promise<number> {
  const { count } = await filtered(db, request)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

export async function findToken(
  db: Kysely<Schema>,
  request: TokenFilter & { readonly id: string },
): Promise<ApiTokenRow | undefined> {
  return await filtered(db, request).selectAll().where('id', '=', request.id).executeTakeFirst();
}

export async function lockToken(
  transaction: Transaction<Schema>,
  request: TokenFilter & { readonly id: string },
): Promise<ApiTokenRow | undefined> {
  return await filtered(transaction, request).selectAll().where('id', '=', request.id).forUpdate().executeTakeFirst();
}

/** With who it is of, as they are now. */
export async function findTokenByHash(db: Kysely<Schema>, tokenHash: string) {
  return await db
    .selectFrom('api_token')
    .innerJoin('user', 'user.id', 'api_token.user_id')
    .innerJoin('account', 'account.id', 'api_token.account_id')
    .select(['api_token.id', 'api_token.user_id', 'api_token.account_id', 'api_token.scopes', 'api_token.expires_at'])
    .select(['api_token.last_used_at', 'user.role', 'user.status as user_status', 'account.status as account_status'])
    .where('api_token.token_hash', '=', tokenHash)
    .where('api_token.revoked_at', 'is', null)
    .executeTakeFirst();
}

/** Its use is no change of it: the version stays. */
export async function touchToken(db: Kysely<Schema>, request: { readonly id: string; readonly now: Date }) {
  await db.updateTable('api_token').set({ last_used_at: request.now }).where('id', '=', request.id).execute();
}

export async function revokeTokenRow(db: Kysely<Schema>, request: { readonly id: string; readonly now: Date }) {
  await db
    .updateTable('api_token')
    .set((row) => ({ revoked_at: request.now, updated_at: request.now, version: row('version', '+', 1) }))
    .where('id', '=', request.id)
    .execute();
}

function filtered(db: Kysely<Schema>, { accountId, userId }: TokenFilter) {
  return db
    .selectFrom('api_token')
    .where('revoked_at', 'is', null)
    .$if(accountId !== undefined, (query) => query.where('account_id', '=', accountId!))
    .$if(userId !== undefined, (query) => query.where('user_id', '=', userId!));
}

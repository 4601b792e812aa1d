/** Rows of sessions. */
import type { Schema } from '@holdfast/database';
import type { Insertable, Kysely, Selectable } from 'kysely';

export type SessionRow = Selectable<Schema['session']>;

/** A session that can still be used ends after this moment, and was used after that. */
export type Liveness = { readonly now: Date; readonly idleSince: Date };

export async function insertSession(db: Kysely<Schema>, row: Insertable<Schema['session']>): Promise<SessionRow> {
  return await db.insertInto('session').values(row).returningAll().executeTakeFirstOrThrow();
}

/** With who it is of, as they are now. */
export async function findSession(db: Kysely<Schema>, tokenHash: string) {
  return await db
    .selectFrom('session')
    .innerJoin('user', 'user.id', 'session.user_id')
    .innerJoin('account', 'account.id', 'session.account_id')
    .select(['session.id', 'session.user_id', 'session.account_id', 'session.expires_at', 'session.last_seen_at'])
    .select(['user.role', 'user.status as user_status', 'account.status as account_status'])
    .where('session.token_hash', '=', tokenHash)
    .executeTakeFirst();
}

export async function touchSession(db: Kysely<Schema>, request: { readonly id: string; readonly now: Date }) {
  await db.updateTable('session').set({ last_seen_at: request.now }).where('id', '=', request.id).execute();
}

type OfUser = { readonly userId: string; readonly live: Liveness };

/** Oldest first, from behind `afterId`. */
export async function listSessions(
  db: Kysely<Schema>,
  request: OfUser & { readonly afterId?: string | undefined; readonly limit: number },
): Promise<readonly SessionRow[]> {
  const { afterId, limit } = request;
  return await ofUser(db, request)
    .selectAll()
    .$if(afterId !== undefined, (query) => query.where('id', '>', afterId!))
    .orderBy('id')
    .limit(limit)
    .execute();
}

export async function countSessions(db: Kysely<Schema>, request: OfUser): Promise<number> {
  const { count } = await ofUser(db, request)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

/** Whether the user had it. */
export async function deleteSession(
  db: Kysely<Schema>,
  request: { readonly id: string; readonly userId: string },
): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('session')
    .where('id', '=', request.id)
    .where('user_id', '=', request.userId)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}

/** @param keptId the session that stays */
export async function deleteSessionsOfUser(
  db: Kysely<Schema>,
  request: { readonly userId: string; readonly keptId?: string | undefined },
): Promise<void> {
  const { userId, keptId } = request;
  await db
    .deleteFrom('session')
    .where('user_id', '=', userId)
    .$if(keptId !== undefined, (query) => query.where('id', '!=', keptId!))
    .execute();
}

/** Of everybody: what has ended is of no use. */
export async function deleteEndedSessions(db: Kysely<Schema>, { now, idleSince }: Liveness): Promise<void> {
  await db
    .deleteFrom('session')
    .where((row) => row.or([row('expires_at', '<=', now), row('last_seen_at', '<=', idleSince)]))
    .execute();
}

function ofUser(db: Kysely<Schema>, { userId, live }: OfUser) {
  return db
    .selectFrom('session')
    .where('user_id', '=', userId)
    .where('expires_at', '>', live.now)
    .where('last_seen_at', '>', live.idleSince);
}

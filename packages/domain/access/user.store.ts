/** Rows of users, each with the accounts that the user acts for. */
import { type Clock, newId } from '@holdfast/base';
import type { Schema } from '@holdfast/database';
import { type Insertable, type Kysely, type Selectable, sql, type Transaction, type Updateable } from 'kysely';
import type { Sight } from './actor.ts';

/** With what proves who it is: for use cases, never for presenters of other resources. */
export type UserRow = Selectable<Schema['user']> & {
  /** In order; at least one. */
  readonly account_ids: readonly string[];
};

export type UserFilter = {
  readonly accountId?: string | undefined;
  readonly role?: UserRow['role'] | undefined;
  readonly status?: UserRow['status'] | undefined;
  readonly email?: string | undefined;
};

type Request = { readonly sight: Sight; readonly filter: UserFilter };

/** Oldest first, from behind `afterId`. */
export async function listUsers(
  db: Kysely<Schema>,
  request: Request & { readonly afterId?: string | undefined; readonly limit: number },
): Promise<readonly UserRow[]> {
  const { afterId, limit } = request;
  return await filtered(db, request)
    .selectAll()
    .select(accountIds)
    .$if(afterId !== undefined, (query) => query.where('user.id', '>', afterId!))
    .orderBy('user.id')
    .limit(limit)
    .execute();
}

export async function countUsers(db: Kysely<Schema>, request: Request): Promise<number> {
  const { count } = await filtered(db, request)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

export async function findUser(db: Kysely<Schema>, id: string): Promise<UserRow | undefined> {
  return await db.selectFrom('user').selectAll().select(accountIds).where('id', '=', id).executeTakeFirst();
}

/** @param email in lower case */
export async function findUserByEmail(db: Kysely<Schema>, email: string): Promise<UserRow | undefined> {
  return await db
    .selectFrom('user')
    .selectAll()
    .select(accountIds)
    .where(sql`lower(email)`, '=', email)
    .executeTakeFirst();
}

/** Others that change the user wait until the transaction ends. */
export async function lockUser(transaction: Transaction<Schema>, id: string): Promise<UserRow | undefined> {
  return await transaction
    .selectFrom('user')
    .selectAll()
    .select(accountIds)
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
}

/** A user and their first membership. @throws the unique violation of the address */
export async function insertUser(
  transaction: Transaction<Schema>,
  request: {
    readonly row: Insertable<Schema['user']>;
    readonly accountId: string;
    readonly membership: 'owner' | 'member';
    readonly clock: Clock;
  },
): Promise<UserRow> {
  const { row, accountId, membership, clock } = request;
  await transaction.insertInto('user').values(row).execute();
  const now = new Date(clock.nowMs());
  await transaction
    .insertInto('membership')
    .values({
      id: newId('mem', clock),
      account_id: accountId,
      user_id: row.id,
      role: membership,
      created_at: now,
      updated_at: now,
    })
    .execute();
  return (await findUser(transaction, row.id))!;
}

/** @throws the unique violation of the address */
export async function updateUserRow(
  db: Kysely<Schema>,
  request: { readonly id: string; readonly change: Updateable<Schema['user']>; readonly now: Date },
): Promise<UserRow> {
  await db
    .updateTable('user')
    .set(request.change)
    .set((row) => ({ updated_at: request.now, version: row('version', '+', 1) }))
    .where('id', '=', request.id)
    .execute();
  return (await findUser(db, request.id))!;
}

/** What is noted of a user without being a change of theirs: the version stays. */
export async function noteOfUser(
  db: Kysely<Schema>,
  request: { readonly id: string; readonly note: Pick<Updateable<Schema['user']>, 'last_login_at'> },
): Promise<void> {
  await db.updateTable('user').set(request.note).where('id', '=', request.id).execute();
}

/** Whether the step was later than the one kept: a code counts once, also for two who send it at the same time. */
export async function useTotpStep(
  db: Kysely<Schema>,
  request: { readonly userId: string; readonly step: number },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('user')
    .set({ totp_last_step: request.step })
    .where('id', '=', request.userId)
    .where((row) => row.or([row('totp_last_step', 'is', null), row('totp_last_step', '<', request.step)]))
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function deleteUserRow(db: Kysely<Schema>, id: string): Promise<void> {
  await db.deleteFrom('user').where('id', '=', id).execute();
}

/** Administrators that can sign in; locked, so that two of them cannot remove each other at the same time. */
export async function lockAdministrators(transaction: Transaction<Schema>): Promise<readonly string[]> {
  const rows = await transaction
    .selectFrom('user')
    .select('id')
    .where('role', '=', 'admin')
    .where('status', '=', 'active')
    .orderBy('id')
    .forUpdate()
    .execute();
  return rows.map(({ id }) => id);
}

function accountIds() {
  return sql<string[]>`array(
    select membership.account_id from membership where membership.user_id = "user".id order by membership.account_id
  )`.as('account_ids');
}

function filtered(db: Kysely<Schema>, { sight, filter }: Request) {
  const accounts = [sight === 'everything' ? undefined : sight.accountId, filter.accountId];
  let query = db.selectFrom('user');
  for (const accountId of accounts) {
    if (accountId === undefined) continue;
    query = query.where((row) =>
      row.exists(
        row
          .selectFrom('membership')
          .select('membership.id')
          .whereRef('membership.user_id', '=', 'user.id')
          .where('membership.account_id', '=', accountId),
      ),
    );
  }
  return query
    .$if(filter.role !== undefined, (some) => some.where('user.role', '=', filter.role!))
    .$if(filter.status !== undefined, (some) => some.where('user.status', '=', filter.status!))
    .$if(filter.email !== undefined, (some) => some.where(sql`lower(email)`, '=', filter.email!));
}

/** The first user of a new installation, who makes all the others. */
import { type Clock, newId } from '@holdfast/base';
import { inTransaction, type Schema } from '@holdfast/database';
import { type Kysely, sql } from 'kysely';
import { recordChange } from '../audit/record-change.ts';
import { insertAccount } from './account.store.ts';
import type { PasswordHasher } from './password.ts';
import { newPassword } from './secret-token.ts';
import { insertUser } from './user.store.ts';

export type BootstrapRequest = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly hasher: PasswordHasher;
  /** In lower case. */
  readonly email: string;
  /** Made up when undefined. */
  readonly password: string | undefined;
};

export type Bootstrapped = {
  readonly email: string;
  /** To be told once: it is kept nowhere. Undefined when it was given. */
  readonly password: string | undefined;
};

/** Of the advisory lock of servers that start on the same new database: "boot", in hex. */
const bootstrapLock = 0x626f6f74;

/** Undefined when there is a user already. */
export async function bootstrapAdministrator(request: BootstrapRequest): Promise<Bootstrapped | undefined> {
  const { db, clock, hasher, email } = request;
  if (await hasUsers(db)) return undefined;
  const made = request.password === undefined ? newPassword() : undefined;
  const passwordHash = await hasher.hash(request.password ?? made!);
  return await inTransaction({ db }, async (transaction) => {
    await sql`select pg_advisory_xact_lock(${bootstrapLock})`.execute(transaction);
    if (await hasUsers(transaction)) return undefined;
    const now = new Date(clock.nowMs());
    const times = { created_at: now, updated_at: now };
    const account = await insertAccount(transaction, {
      ...times,
      id: newId('acc', clock),
      kind: 'system',
      name: 'Administration',
    });
    const user = await insertUser(transaction, {
      row: {
        ...times,
        id: newId('usr', clock),
        email,
        name: 'Administrator',
        role: 'admin',
        password_hash: passwordHash,
      },
      accountId: account.id,
      membership: 'owner',
      clock,
    });
    await recordChange(
      { transaction, clock, actor: { by: { kind: 'system' }, ip: null } },
      {
        action: 'user.created',
        resource: `users/${user.id}`,
        accountId: account.id,
        details: { email, role: 'admin', first: true },
      },
    );
    return { email, password: made };
  });
}

async function hasUsers(db: Kysely<Schema>): Promise<boolean> {
  return (await db.selectFrom('user').select('id').limit(1).executeTakeFirst()) !== undefined;
}

import { HoldfastError, newId } from '@holdfast/base';
import { sqlState } from '@holdfast/database';
import { recordChange } from '../audit/record-change.ts';
import { lockAccount } from './account.store.ts';
import type { ActorChanging } from './actor-changing.ts';
import { insertUser, type UserRow } from './user.store.ts';

export type NewUser = {
  /** In lower case. */
  readonly email: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly role: UserRow['role'];
  readonly accountId: string;
};

/** @throws account_not_found email_taken */
export async function createUser(changing: ActorChanging, user: NewUser): Promise<UserRow> {
  const { transaction, clock } = changing;
  const { email, name, role, accountId } = user;
  if (!(await lockAccount(transaction, accountId))) {
    throw new HoldfastError('account_not_found', `There is no account ${accountId}.`);
  }
  const now = new Date(clock.nowMs());
  const fields = { email, name, role, password_hash: user.passwordHash, created_at: now, updated_at: now };
  const inserted = insertUser(transaction, {
    row: { ...fields, id: newId('usr', clock) },
    accountId,
    membership: 'member',
    clock,
  });
  const row = await inserted.catch((error: unknown) => {
    throw emailTaken(error, email);
  });
  await recordChange(changing, {
    action: 'user.created',
    resource: `users/${row.id}`,
    accountId,
    details: { email, name, role },
  });
  return row;
}

const uniqueViolation = '23505';

/** The error itself when it is about something else. */
export function emailTaken(error: unknown, email: string): unknown {
  if (sqlState(error) !== uniqueViolation) return error;
  return new HoldfastError('email_taken', `Another user has the address ${email}.`, { cause: error });
}

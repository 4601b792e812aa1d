/** For whoever runs the machine: a way back in when nobody can sign in any more. */
import { type Clock, HoldfastError } from '@holdfast/base';
import { inTransaction, type Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { recordChange } from '../audit/record-change.ts';
import type { PasswordHasher } from './password.ts';
import { newPassword } from './secret-token.ts';
import { deleteSessionsOfUser } from './session.store.ts';
import { totpOff } from './totp-enrollment.ts';
import { findUserByEmail, updateUserRow } from './user.store.ts';

export type ResetPasswordRequest = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly hasher: PasswordHasher;
  /** In lower case. */
  readonly email: string;
};

/**
 * Makes up a password, turns the code off, and lets the user in again who was disabled; their sessions end.
 * @returns the password, to be told once. @throws user_not_found
 */
export async function resetPassword({ db, clock, hasher, email }: ResetPasswordRequest): Promise<string> {
  const password = newPassword();
  const hash = await hasher.hash(password);
  await inTransaction({ db }, async (transaction) => {
    const user = await findUserByEmail(transaction, email);
    if (!user) throw new HoldfastError('user_not_found', `No user has the address ${email}.`);
    const change = { ...totpOff, password_hash: hash, status: 'active' as const };
    await updateUserRow(transaction, { id: user.id, change, now: new Date(clock.nowMs()) });
    await deleteSessionsOfUser(transaction, { userId: user.id });
    await recordChange(
      { transaction, clock, actor: { by: { kind: 'system' }, ip: null } },
      { action: 'user.password_reset', resource: `users/${user.id}`, accountId: user.account_ids[0] ?? null },
    );
  });
  return password;
}

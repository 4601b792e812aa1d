/** A new password for oneself. */
import { type Clock, HoldfastError } from '@holdfast/base';
import { inTransaction, type Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { recordChange } from '../audit/record-change.ts';
import type { Actor } from './actor.ts';
import { limitedAttempt } from './limited-attempt.ts';
import type { PasswordHasher } from './password.ts';
import { deleteSessionsOfUser } from './session.store.ts';
import { findUser, updateUserRow } from './user.store.ts';

export type ChangePasswordRequest = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly hasher: PasswordHasher;
  readonly actor: Actor;
  readonly currentPassword: string;
  readonly newPassword: string;
};

/** Ends the other sessions: who knew the old one is out. @throws credentials_wrong login_rate_limited */
export async function changePassword(request: ChangePasswordRequest): Promise<void> {
  const { db, clock, hasher, actor, currentPassword, newPassword } = request;
  const user = await findUser(db, actor.userId);
  if (!user) throw new HoldfastError('session_invalid', 'The user is gone.');
  await limitedAttempt({ db, clock, email: user.email, ip: actor.ip }, async () => {
    if (await hasher.verify(currentPassword, user.password_hash ?? undefined)) return;
    throw new HoldfastError('credentials_wrong', 'The current password is another one.');
  });
  const hash = await hasher.hash(newPassword);
  await inTransaction({ db }, async (transaction) => {
    const now = new Date(clock.nowMs());
    await updateUserRow(transaction, { id: user.id, change: { password_hash: hash }, now });
    const keptId = actor.by.kind === 'session' ? actor.by.sessionId : undefined;
    await deleteSessionsOfUser(transaction, { userId: user.id, keptId });
    await recordChange(
      { transaction, clock, actor },
      { action: 'user.password_changed', resource: `users/${user.id}`, accountId: actor.accountId },
    );
  });
}

/**
 * Setting up the code: a secret is made (it does nothing yet), the first code proves that the device has it, and from then
 * on signing in takes one. States: off -> enrolled -> on -> off.
 */
import { type Clock, HoldfastError } from '@holdfast/base';
import { inTransaction, type Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { recordChange } from '../audit/record-change.ts';
import type { Actor } from './actor.ts';
import { limitedAttempt } from './limited-attempt.ts';
import type { Seal } from './sealed.ts';
import { takeCode, totpPlace } from './second-factor.ts';
import { newTotpSecret, type TotpSecret } from './totp.ts';
import { findUser, lockUser, updateUserRow, type UserRow } from './user.store.ts';
import { expectVersion } from './version.ts';

export type TotpRequest = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly seal: Seal;
  readonly actor: Actor;
};

/** @throws totp_enabled */
export async function enrollTotp(request: TotpRequest): Promise<TotpSecret> {
  const user = await ownUser(request);
  if (user.totp_confirmed_at !== null)
    throw new HoldfastError('totp_enabled', 'This user signs in with a code already.');
  const made = newTotpSecret(user.email);
  await change(request, user, {
    action: 'user.totp_enrolled',
    fields: { totp_secret: request.seal.seal(totpPlace(user.id), made.secret), totp_last_step: null },
  });
  return made;
}

/** @throws totp_wrong totp_enabled totp_not_enrolled login_rate_limited */
export async function confirmTotp(request: TotpRequest & { readonly code: string }): Promise<void> {
  const user = await ownUser(request);
  if (user.totp_confirmed_at !== null)
    throw new HoldfastError('totp_enabled', 'This user signs in with a code already.');
  await guess(request, user);
  await change(request, user, {
    action: 'user.totp_enabled',
    fields: { totp_confirmed_at: new Date(request.clock.nowMs()) },
  });
}

/** @throws totp_wrong totp_not_enrolled login_rate_limited */
export async function disableTotp(request: TotpRequest & { readonly code: string }): Promise<void> {
  const user = await ownUser(request);
  if (user.totp_confirmed_at === null)
    throw new HoldfastError('totp_not_enrolled', 'This user signs in without a code.');
  await guess(request, user);
  await change(request, user, { action: 'user.totp_disabled', fields: totpOff });
}

/** What a user without a code has. */
export const totpOff = { totp_secret: null, totp_confirmed_at: null, totp_last_step: null } as const;

async function ownUser({ db, actor }: TotpRequest): Promise<UserRow> {
  const user = await findUser(db, actor.userId);
  if (!user) throw new HoldfastError('session_invalid', 'The user is gone.');
  return user;
}

async function guess(request: TotpRequest & { readonly code: string }, user: UserRow): Promise<void> {
  const { db, clock, actor } = request;
  await limitedAttempt({ db, clock, email: user.email, ip: actor.ip }, () => takeCode({ ...request, user }));
}

async function change(
  { db, clock, actor }: TotpRequest,
  user: UserRow,
  { action, fields }: { readonly action: string; readonly fields: Parameters<typeof updateUserRow>[1]['change'] },
): Promise<void> {
  await inTransaction({ db }, async (transaction) => {
    // Two devices that are set up at the same time: the secret that was proven has to be the one that is kept.
    const now = await lockUser(transaction, user.id);
    if (now) expectVersion(now, user.version);
    await updateUserRow(transaction, { id: user.id, change: fields, now: new Date(clock.nowMs()) });
    const resource = `users/${user.id}`;
    await recordChange({ transaction, clock, actor }, { action, resource, accountId: actor.accountId });
  });
}

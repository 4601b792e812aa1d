/** The code of somebody who set it up. */
import { type Clock, HoldfastError } from '@holdfast/base';
import type { Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import type { Seal } from './sealed.ts';
import { stepOfCode } from './totp.ts';
import { type UserRow, useTotpStep } from './user.store.ts';

/** Where a secret belongs to, for its seal. */
export function totpPlace(userId: string): string {
  return `totp:${userId}`;
}

/** Takes the code as used. @throws totp_wrong totp_not_enrolled server_key_wrong */
export async function takeCode(request: {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly seal: Seal;
  readonly user: UserRow;
  readonly code: string;
}): Promise<void> {
  const { db, clock, seal, user, code } = request;
  if (user.totp_secret === null) throw new HoldfastError('totp_not_enrolled', 'No secret was made for this user.');
  const secret = seal.open(totpPlace(user.id), user.totp_secret);
  const step = stepOfCode({ secret, code, lastStep: user.totp_last_step, nowMs: clock.nowMs() });
  if (step !== undefined && (await useTotpStep(db, { userId: user.id, step }))) return;
  throw new HoldfastError('totp_wrong', 'It is not the code of now, or it was sent before.');
}

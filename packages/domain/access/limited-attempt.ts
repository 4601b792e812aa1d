/** A check of a password or code that is guarded against guessing. */
import { type Clock, HoldfastError, hasCode } from '@holdfast/base';
import type { Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { deleteAttempt, forgetAttempts, insertAttempt, readAttempts } from './login-attempt.store.ts';
import { clientOf, waitBeforeAttempt } from './login-limit.ts';

export type Guess = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  /** Of whom; in lower case. Also of users that do not exist. */
  readonly email: string;
  readonly ip: string | null;
};

/**
 * Runs `check`, unless too many have failed. What it throws with `credentials_wrong` or `totp_wrong` counts as a failure; any
 * other end does not.
 * @throws login_rate_limited, and what `check` throws
 */
export async function limitedAttempt<Result>(guess: Guess, check: () => Promise<Result>): Promise<Result> {
  const { db, clock, email } = guess;
  const client = guess.ip === null ? 'local' : clientOf(guess.ip);
  const id = await insertAttempt(db, { email, client, clock });
  const attempts = await readAttempts(db, { email, client });
  const waitMs = waitBeforeAttempt({ email, client, attempts, nowMs: clock.nowMs() });
  if (waitMs > 0) {
    // Whoever goes on trying does not keep the door shut by it.
    await deleteAttempt(db, id);
    const retryAfterS = Math.ceil(waitMs / 1000);
    throw new HoldfastError('login_rate_limited', `Try again in ${retryAfterS} seconds.`, { retryAfterS });
  }
  try {
    const result = await check();
    await forgetAttempts(db, { email, client });
    return result;
  } catch (error) {
    if (!hasCode(error, 'credentials_wrong', 'totp_wrong')) await deleteAttempt(db, id);
    throw error;
  }
}

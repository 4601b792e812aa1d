/** From email address, password and code to a session. */
import { type Clock, HoldfastError, newId } from '@holdfast/base';
import { inTransaction, type Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { type Changing, recordChange } from '../audit/record-change.ts';
import type { Actor } from './actor.ts';
import { actorOfSession } from './authenticate.ts';
import { limitedAttempt } from './limited-attempt.ts';
import type { PasswordHasher } from './password.ts';
import type { Seal } from './sealed.ts';
import { takeCode } from './second-factor.ts';
import { newSessionSecret } from './secret-token.ts';
import { deleteEndedSessions, insertSession } from './session.store.ts';
import { livenessAt, sessionLifetimeMs } from './sessions.ts';
import { findUserByEmail, noteOfUser, type UserRow } from './user.store.ts';

export type LogInRequest = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly hasher: PasswordHasher;
  readonly seal: Seal;
  readonly email: string;
  readonly password: string;
  readonly totpCode: string | undefined;
  /** The first one of the user when undefined. */
  readonly accountId: string | undefined;
  readonly ip: string | null;
  readonly userAgent: string | null;
};

export type LoggedIn = {
  /** For the cookie; kept nowhere. */
  readonly secret: string;
  readonly expiresAt: Date;
  readonly actor: Actor;
};

/** A user agent says more than anybody wants to know. */
const userAgentLength = 300;

/** @throws credentials_wrong totp_required totp_wrong login_rate_limited account_not_found */
export async function logIn(request: LogInRequest): Promise<LoggedIn> {
  return await limitedAttempt(request, async () => await openSession(request, await prove(request)));
}

/** A refusal is written down: a guess that is not seen is one that goes on. */
async function prove(request: LogInRequest): Promise<UserRow> {
  const { db, hasher, password, totpCode } = request;
  const user = await findUserByEmail(db, request.email);
  const isRight = await hasher.verify(password, user?.password_hash ?? undefined);
  try {
    if (!user || !isRight || user.status !== 'active') {
      throw new HoldfastError('credentials_wrong', 'No user has this email address and this password.');
    }
    if (user.totp_confirmed_at !== null) {
      if (totpCode === undefined)
        throw new HoldfastError('totp_required', 'The password is right; a code is needed too.');
      await takeCode({ ...request, user, code: totpCode });
    }
    return user;
  } catch (error) {
    if (error instanceof HoldfastError && error.code !== 'totp_required') await recordRefusal(request, user, error);
    throw error;
  }
}

async function recordRefusal(request: LogInRequest, user: UserRow | undefined, error: HoldfastError): Promise<void> {
  await inTransaction(request, async (transaction) => {
    await recordChange(changing(request, transaction), {
      action: 'session.refused',
      resource: user ? `users/${user.id}` : null,
      accountId: user?.account_ids[0] ?? null,
      details: { email: request.email, code: error.code },
    });
  });
}

async function openSession(request: LogInRequest, user: UserRow): Promise<LoggedIn> {
  const { db, clock, ip, userAgent } = request;
  const accountId = request.accountId ?? user.account_ids[0];
  if (accountId === undefined || !user.account_ids.includes(accountId)) {
    throw new HoldfastError('account_not_found', 'The user does not act for this account.');
  }
  const { secret, hash } = newSessionSecret();
  const now = new Date(clock.nowMs());
  const expiresAt = new Date(clock.nowMs() + sessionLifetimeMs);
  const id = newId('lgn', clock);
  await inTransaction({ db }, async (transaction) => {
    await deleteEndedSessions(transaction, livenessAt(clock));
    await insertSession(transaction, {
      id,
      user_id: user.id,
      account_id: accountId,
      token_hash: hash,
      expires_at: expiresAt,
      last_seen_at: now,
      ip_address: ip,
      user_agent: userAgent?.slice(0, userAgentLength) ?? null,
      created_at: now,
      updated_at: now,
    });
    await noteOfUser(transaction, { id: user.id, note: { last_login_at: now } });
    await recordChange(changing(request, transaction), {
      action: 'session.created',
      resource: `users/${user.id}`,
      accountId,
      details: { session: id },
    });
  });
  return { secret, expiresAt, actor: await actorOfSession(request, secret) };
}

function changing({ clock, ip }: LogInRequest, transaction: Changing['transaction']): Changing {
  return { transaction, clock, actor: { by: { kind: 'nobody' }, ip } };
}

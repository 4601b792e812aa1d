/** From what a request carries to who sends it. */
import { type Clock, HoldfastError } from '@holdfast/base';
import { type Scope, scopes } from '@holdfast/contracts';
import type { Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import type { Actor } from './actor.ts';
import { findTokenByHash, touchToken } from './api-token.store.ts';
import { hashOfSecret, isApiToken } from './secret-token.ts';
import { findSession, touchSession } from './session.store.ts';
import { livenessAt, useGrainMs } from './sessions.ts';

type Request = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly ip: string | null;
};

/** @param secret of the cookie. @throws session_invalid */
export async function actorOfSession({ db, clock, ip }: Request, secret: string): Promise<Actor> {
  const row = await findSession(db, hashOfSecret(secret));
  const { now, idleSince } = livenessAt(clock);
  if (!row || row.expires_at <= now || row.last_seen_at <= idleSince || !mayEnter(row)) {
    throw new HoldfastError('session_invalid', 'The session has ended, or there never was one.');
  }
  if (now.getTime() - row.last_seen_at.getTime() > useGrainMs) await touchSession(db, { id: row.id, now });
  return {
    userId: row.user_id,
    role: row.role,
    accountId: row.account_id,
    accountStatus: statusOf(row),
    by: { kind: 'session', sessionId: row.id },
    expiresAt: row.expires_at,
    ip,
  };
}

/** @throws token_invalid token_expired */
export async function actorOfToken({ db, clock, ip }: Request, token: string): Promise<Actor> {
  if (!isApiToken(token)) {
    throw new HoldfastError('token_invalid', 'It is no API token of Holdfast, or a part of one only.');
  }
  const row = await findTokenByHash(db, hashOfSecret(token));
  if (!row || !mayEnter(row))
    throw new HoldfastError('token_invalid', 'The API token was revoked, or never made here.');
  const now = new Date(clock.nowMs());
  if (row.expires_at !== null && row.expires_at <= now) {
    throw new HoldfastError('token_expired', `The API token has expired at ${row.expires_at.toISOString()}.`);
  }
  const usedMs = row.last_used_at?.getTime() ?? 0;
  if (now.getTime() - usedMs > useGrainMs) await touchToken(db, { id: row.id, now });
  return {
    userId: row.user_id,
    role: row.role,
    accountId: row.account_id,
    accountStatus: statusOf(row),
    by: { kind: 'token', tokenId: row.id, scopes: row.scopes.filter(isScope) },
    expiresAt: row.expires_at,
    ip,
  };
}

type Standing = { readonly user_status: string; readonly account_status: string };

function mayEnter({ user_status, account_status }: Standing): boolean {
  return user_status === 'active' && account_status !== 'closed';
}

function statusOf({ account_status }: Standing): Actor['accountStatus'] {
  return account_status === 'active' ? 'active' : 'suspended';
}

/** A newer version may have given scopes that this one does not know. */
function isScope(text: string): text is Scope {
  return (scopes as readonly string[]).includes(text);
}

/** Who may come in: accounts, their users, and what proves who one is. No secret is stored, only what checks it. */
import type { Generated } from 'kysely';
import type { EntityRow } from './row.ts';

/** `acc_`. Everything that costs or counts belongs to one. */
export type AccountTable = EntityRow & {
  readonly kind: 'customer' | 'system';
  readonly name: string;
  /** IANA zone. */
  readonly timezone: Generated<string>;
  /** BCP 47. */
  readonly locale: Generated<string>;
  readonly status: Generated<'active' | 'suspended' | 'closed'>;
  /** Operations that its users started and that have not ended. */
  readonly inflight_limit: Generated<number>;
  /** Null: no quota. */
  readonly quota_bytes: number | null;
};

/** `usr_`. The address is unique whatever its capitals. */
export type UserTable = EntityRow & {
  readonly email: string;
  readonly name: string;
  /** Argon2id in PHC form; null for who comes by OIDC only. */
  readonly password_hash: string | null;
  readonly oidc_issuer: string | null;
  readonly oidc_subject: string | null;
  /** Encrypted by the server's key. */
  readonly totp_secret: string | null;
  /** Since when signing in takes a code; null: no second factor, though a secret may be waiting for its first code. */
  readonly totp_confirmed_at: Date | null;
  /** The step of 30 s whose code was used last: none counts twice. */
  readonly totp_last_step: number | null;
  readonly role: 'admin' | 'user';
  readonly status: Generated<'active' | 'disabled'>;
  readonly last_login_at: Date | null;
};

/** `mem_`, unique for account and user. */
export type MembershipTable = EntityRow & {
  readonly account_id: string;
  readonly user_id: string;
  readonly role: 'owner' | 'member';
};

/** `lgn_`: a login of the panel. */
export type SessionTable = EntityRow & {
  readonly user_id: string;
  /** Which of the user's accounts it acts for. */
  readonly account_id: string;
  /** SHA-256 of the cookie, hex. */
  readonly token_hash: string;
  readonly expires_at: Date;
  readonly last_seen_at: Date;
  readonly ip_address: string | null;
  readonly user_agent: string | null;
};

/** `tok_`: `hf_...` of the API. */
export type ApiTokenTable = EntityRow & {
  readonly account_id: string;
  readonly user_id: string;
  readonly name: string;
  /** How it begins, to be shown. */
  readonly hint: Generated<string>;
  /** SHA-256 of the token, hex. */
  readonly token_hash: string;
  readonly scopes: readonly string[];
  /** Null: never. */
  readonly expires_at: Date | null;
  readonly last_used_at: Date | null;
  readonly revoked_at: Date | null;
};

/** `att_`: an attempt to sign in that failed, or is being judged; gone after a quarter of an hour. */
export type LoginAttemptTable = EntityRow & {
  /** As it was typed, in lower case; there need be no such user. */
  readonly email: string;
  /** Address of the client, of IPv6 its /64. */
  readonly client: string;
};

import type { Migration } from './migration.ts';

export const access: Migration = {
  number: 1,
  title: 'access',
  statements: `
    create table account (
      id text primary key,
      kind text not null check (kind in ('customer', 'system')),
      name text not null,
      timezone text not null default 'UTC',
      locale text not null default 'en',
      status text not null default 'active' check (status in ('active', 'suspended', 'closed')),
      inflight_limit integer not null default 3 check (inflight_limit >= 0),
      quota_bytes bigint check (quota_bytes >= 0),
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );

    create table "user" (
      id text primary key,
      email text not null,
      name text not null,
      password_hash text,
      oidc_issuer text,
      oidc_subject text,
      totp_secret text,
      role text not null check (role in ('admin', 'user')),
      status text not null default 'active' check (status in ('active', 'disabled')),
      last_login_at timestamptz(3),
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      check ((oidc_issuer is null) = (oidc_subject is null))
    );
    create unique index user_email on "user" (lower(email));
    create unique index user_oidc on "user" (oidc_issuer, oidc_subject);

    create table membership (
      id text primary key,
      account_id text not null references account on delete cascade,
      user_id text not null references "user" on delete cascade,
      role text not null check (role in ('owner', 'member')),
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      unique (account_id, user_id)
    );
    create index membership_user on membership (user_id);

    create table session (
      id text primary key,
      user_id text not null references "user" on delete cascade,
      token_hash text not null unique,
      expires_at timestamptz(3) not null,
      last_seen_at timestamptz(3) not null,
      ip_address text,
      user_agent text,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );
    create index session_user_id on session (user_id);
    create index session_expires_at on session (expires_at);

    create table api_token (
      id text primary key,
      account_id text not null references account on delete cascade,
      user_id text not null references "user" on delete cascade,
      name text not null,
      token_hash text not null unique,
      scopes text[] not null,
      expires_at timestamptz(3),
      last_used_at timestamptz(3),
      revoked_at timestamptz(3),
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );
    create index api_token_account on api_token (account_id, id);

    -- Without references: what was done outlives who did it.
    create table audit_event (
      id text primary key,
      seq bigint not null unique check (seq > 0),
      account_id text,
      actor_kind text not null check (actor_kind in ('user', 'token', 'agent', 'system')),
      actor_id text,
      action text not null,
      resource text,
      details jsonb not null,
      prev_hash text not null,
      hash text not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );
    create index audit_event_account on audit_event (account_id, seq);

    create table outbox (
      id text primary key,
      seq bigint unique,
      topic text not null,
      account_id text,
      payload jsonb not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );
    create index outbox_unpublished on outbox (id) where seq is null;
    create index outbox_created_at on outbox (created_at);

    create table idempotency_record (
      account_id text not null references account on delete cascade,
      key text not null,
      request_hash text not null,
      response_status integer,
      response jsonb,
      expires_at timestamptz(3) not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      primary key (account_id, key)
    );
    create index idempotency_record_expires_at on idempotency_record (expires_at);

    create table setting (
      name text primary key,
      value jsonb not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );
  `,
};

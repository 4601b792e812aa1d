import type { Migration } from './migration.ts';

export const signIn: Migration = {
  number: 3,
  title: 'sign-in',
  statements: `
    -- A session is worth a password; those from before know no account.
    delete from session;
    alter table session add column account_id text not null references account on delete cascade;

    alter table "user" add column totp_confirmed_at timestamptz(3);
    alter table "user" add column totp_last_step bigint;

    alter table api_token add column hint text not null default 'hf_';

    create table login_attempt (
      id text primary key,
      email text not null,
      client text not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );
    create index login_attempt_email on login_attempt (email);
    create index login_attempt_client on login_attempt (client);
    create index login_attempt_created_at on login_attempt (created_at);
  `,
};

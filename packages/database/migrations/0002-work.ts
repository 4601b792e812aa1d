import type { Migration } from './migration.ts';

export const work: Migration = {
  number: 2,
  title: 'work',
  statements: `
    create table operation (
      id text primary key,
      type text not null,
      state text not null
        check (state in ('queued', 'running', 'canceling', 'stalled', 'succeeded', 'failed', 'canceled')),
      account_id text references account,
      started_by text,
      is_counted boolean not null,
      resources text[] not null,
      cancel_requested boolean not null default false,
      epoch integer not null default 0,
      phase text,
      bytes_done bigint,
      bytes_total bigint,
      error jsonb,
      result jsonb,
      cooldown_resources text[] not null default '{}',
      cooldown_success_ms integer not null default 0,
      cooldown_failure_ms integer not null default 0,
      started_at timestamptz(3),
      heartbeat_at timestamptz(3),
      progress_at timestamptz(3),
      stalled_at timestamptz(3),
      finished_at timestamptz(3),
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      check ((state in ('succeeded', 'failed', 'canceled')) = (finished_at is not null)),
      check ((state = 'stalled') = (stalled_at is not null))
    );
    create index operation_account on operation (account_id, id);
    create index operation_in_flight on operation (account_id) where is_counted and finished_at is null;
    create index operation_live on operation (heartbeat_at) where state in ('running', 'canceling', 'stalled');

    create table operation_step (
      id text primary key,
      operation_id text not null references operation on delete cascade,
      position integer not null check (position > 0),
      kind text not null,
      queue text not null,
      capacity_keys text[] not null,
      payload jsonb not null,
      state text not null check (state in ('waiting', 'active', 'succeeded', 'failed', 'canceled')),
      result jsonb,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      unique (operation_id, position)
    );

    create table task (
      id text primary key,
      operation_id text not null references operation on delete cascade,
      step_id text not null references operation_step on delete cascade,
      queue text not null,
      capacity_keys text[] not null,
      priority integer not null default 0,
      state text not null check (state in ('queued', 'running', 'succeeded', 'failed', 'canceled')),
      epoch integer not null default 0,
      holder text,
      claimed_at timestamptz(3),
      finished_at timestamptz(3),
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      check ((state = 'queued') = (claimed_at is null and finished_at is null))
    );
    create index task_queued on task (queue, priority desc, id) where state = 'queued';
    create index task_held on task (holder) where state = 'running';
    create unique index task_live on task (operation_id) where state in ('queued', 'running');
    create index task_step on task (step_id);

    create table operation_log (
      id text primary key,
      operation_id text not null references operation on delete cascade,
      position integer not null check (position > 0),
      level text not null check (level in ('info', 'warning', 'error')),
      message text not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      unique (operation_id, position)
    );

    create table resource_lock (
      resource text not null,
      operation_id text not null references operation on delete cascade,
      mode text not null check (mode in ('exclusive', 'read')),
      epoch integer not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      primary key (resource, operation_id)
    );
    create unique index resource_lock_exclusive on resource_lock (resource) where mode = 'exclusive';
    create index resource_lock_operation on resource_lock (operation_id);

    create table cooldown (
      resource text primary key,
      until timestamptz(3) not null,
      cause text not null,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );

    create table capacity (
      key text primary key,
      slots integer not null check (slots >= 0),
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1
    );

    create table capacity_use (
      key text not null,
      task_id text not null references task on delete cascade,
      created_at timestamptz(3) not null,
      updated_at timestamptz(3) not null,
      version integer not null default 1,
      primary key (key, task_id)
    );
    create index capacity_use_task on capacity_use (task_id);
  `,
};

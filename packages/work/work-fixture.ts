/** Accounts, admissions and workers for tests of work, and what must hold whatever they do. */
import assert from 'node:assert/strict';
import { newId } from '@holdfast/base';
import { type Database, inTransaction } from '@holdfast/database';
import { type FakeClock, fakeClock } from '@holdfast/testing';
import { sql } from 'kysely';
import { type Admission, admitOperation } from './admit-operation.ts';
import { type ClaimedTask, claimTasks } from './claim-tasks.ts';
import type { OperationRow, WorkContext } from './work-context.ts';

export type Bench = WorkContext & { readonly clock: FakeClock; readonly database: Database };

export function benchOf(database: Database, onChange?: WorkContext['onChange']): Bench {
  return { db: database.db, database, clock: fakeClock(), ...(onChange === undefined ? {} : { onChange }) };
}

export async function makeAccount({ db, clock }: WorkContext, inflightLimit = 3): Promise<string> {
  const now = new Date(clock.nowMs());
  const id = newId('acc', clock);
  await db
    .insertInto('account')
    .values({
      id,
      kind: 'customer',
      name: 'test',
      inflight_limit: inflightLimit,
      quota_bytes: null,
      created_at: now,
      updated_at: now,
    })
    .execute();
  return id;
}

/** A snapshot of one volume by a user. */
export function snapshotOf(accountId: string | null, volume: string, change: Partial<Admission> = {}): Admission {
  return {
    type: 'snapshot',
    accountId,
    startedBy: 'usr_test',
    isUserWork: true,
    resources: [volume],
    locks: [{ resource: volume, mode: 'exclusive' }],
    cooldown: { isObeyed: true, resources: [volume], successMs: 300_000, failureMs: 30_000 },
    steps: [{ kind: 'take', queue: 'agent/a', capacityKeys: [], payload: { volume } }],
    ...change,
  };
}

export async function admit(context: WorkContext, admission: Admission): Promise<string> {
  return await inTransaction(context, (transaction) => admitOperation(context, transaction, admission));
}

export async function claim(
  context: WorkContext,
  change: Partial<Parameters<typeof claimTasks>[1]> = {},
): Promise<readonly ClaimedTask[]> {
  return await claimTasks(context, { queues: ['agent/a'], holder: 'session-1', limit: 10, known: [], ...change });
}

/** @throws when there is not exactly one */
export async function claimOne(
  context: WorkContext,
  holder = 'session-1',
): Promise<ClaimedTask & { readonly holder: string }> {
  const tasks = await claim(context, { holder });
  assert.equal(tasks.length, 1);
  return { ...tasks[0]!, holder };
}

export async function operationOf({ db }: WorkContext, id: string): Promise<OperationRow> {
  return await db.selectFrom('operation').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
}

/** Every row of every table of work, as text: to prove that something changed nothing. */
export async function everything({ db }: WorkContext): Promise<readonly string[]> {
  const tables = [
    'operation',
    'operation_step',
    'task',
    'operation_log',
    'resource_lock',
    'cooldown',
    'capacity',
    'capacity_use',
  ];
  const all: string[] = [];
  for (const table of tables) {
    const { rows } = await sql<{ text: string }>`select t::text as text from ${sql.table(table)} t order by 1`.execute(
      db,
    );
    all.push(...rows.map(({ text }) => `${table} ${text}`));
  }
  return all;
}

/** Each must find nothing, at any moment: invariants 1, 2, 4 (slots) and 5 of data-model.md. */
const violations = {
  'two exclusive locks, or one beside readers': sql`
    select resource from resource_lock group by resource
    having count(*) > 1 and bool_or(mode = 'exclusive')`,
  'a lock without a live operation': sql`
    select resource from resource_lock l join operation o on o.id = l.operation_id
    where o.finished_at is not null or l.epoch <> o.epoch`,
  'a live operation without its locks': sql`
    select id from operation o where finished_at is null
      and (select count(*) from resource_lock l where l.operation_id = o.id) <> cardinality(o.resources)`,
  'a live operation without exactly one live task': sql`
    select id from operation o where finished_at is null
      and (select count(*) from task t where t.operation_id = o.id and t.state in ('queued', 'running')) <> 1`,
  'a live task of an operation that ended': sql`
    select t.id from task t join operation o on o.id = t.operation_id
    where o.finished_at is not null and t.state in ('queued', 'running')`,
  'more in flight than the limit of the account': sql`
    select a.id from account a join operation o on o.account_id = a.id and o.is_counted and o.finished_at is null
    group by a.id having count(*) > a.inflight_limit`,
  'more slots taken than there are': sql`
    select c.key from capacity c join capacity_use u on u.key = c.key group by c.key having count(*) > c.slots`,
  'slots that are not those of the running tasks': sql`
    (select key, task_id from capacity_use except select unnest(capacity_keys), id from task where state = 'running')
    union all
    (select unnest(capacity_keys), id from task where state = 'running' except select key, task_id from capacity_use)`,
};

/** All from one snapshot, so that it may run while others work. */
export async function checkInvariants({ db }: WorkContext): Promise<void> {
  await inTransaction({ db, isolation: 'repeatable read' }, async (transaction) => {
    for (const [what, query] of Object.entries(violations)) {
      assert.deepEqual((await query.execute(transaction)).rows, [], what);
    }
  });
}

/**
 * Admission: whether an operation may begin is decided, and it is queued with its locks, in one transaction, together with
 * the rows that the caller writes for it. Afterwards it holds all of its locks; refused, it leaves nothing.
 */
import { HoldfastError, newId } from '@holdfast/base';
import type { Schema } from '@holdfast/database';
import { sql, type Transaction } from 'kysely';
import { type OperationRow, workChannel, type WorkContext } from './work-context.ts';

export type LockWish = { readonly resource: string; readonly mode: 'exclusive' | 'read' };

export type StepPlan = {
  readonly kind: string;
  readonly queue: string;
  readonly capacityKeys: readonly string[];
  /** What the worker is told; no secrets, they are added when it is handed out. */
  readonly payload: unknown;
};

export type Admission = {
  readonly type: string;
  readonly accountId: string | null;
  readonly startedBy: string | null;
  /** False for the scheduler's work: it obeys locks, but neither the account's limit nor cooldowns. */
  readonly isUserWork: boolean;
  readonly resources: readonly string[];
  readonly locks: readonly LockWish[];
  /** In which resources rest afterwards, and whether they must have rested before. */
  readonly cooldown: {
    readonly isObeyed: boolean;
    readonly resources: readonly string[];
    readonly successMs: number;
    readonly failureMs: number;
  };
  /** At least one. */
  readonly steps: readonly StepPlan[];
  /** Higher goes first; 0 is usual. */
  readonly priority?: number;
};

/**
 * @returns the operation's id
 * @throws volume_busy instance_busy resource_busy cooldown_active inflight_limit_reached
 */
export async function admitOperation(
  { clock, onChange }: Pick<WorkContext, 'clock' | 'onChange'>,
  transaction: Transaction<Schema>,
  admission: Admission,
): Promise<string> {
  const now = new Date(clock.nowMs());
  await decideAlone(transaction, admission);
  const inTheWay = await readObstacles(transaction, admission, now);
  refuseIfBusy(inTheWay);
  if (admission.isUserWork) await refuseIfAtLimit(transaction, admission, inTheWay);
  if (admission.cooldown.isObeyed) refuseIfResting(inTheWay, now);
  const operation = await insertAll({ transaction, admission, now, id: newId('op', clock), clock });
  await onChange?.(transaction, { operation, from: undefined });
  return operation.id;
}

/**
 * Until this transaction ends, nobody else admits for the account or for one of these resources. Always in the same order, so
 * that two never wait for each other. What is read by the next statement is what those left who were waited for.
 */
async function decideAlone(
  transaction: Transaction<Schema>,
  { accountId, isUserWork, locks }: Admission,
): Promise<void> {
  const resources = [...new Set(locks.map(({ resource }) => resource))].toSorted();
  const keys = isUserWork && accountId !== null ? [accountId, ...resources] : resources;
  await sql`select pg_advisory_xact_lock(hashtextextended(key, 0)) from unnest(${keys}::text[]) as key`.execute(
    transaction,
  );
}

type Obstacles = {
  readonly locks:
    | readonly { resource: string; mode: 'exclusive' | 'read'; type: string; operation_id: string }[]
    | null;
  readonly cooldowns: readonly { resource: string; until_ms: number }[] | null;
  readonly in_flight: number;
  readonly limit: number | null;
};

async function readObstacles(transaction: Transaction<Schema>, admission: Admission, now: Date): Promise<Obstacles> {
  const exclusive = admission.locks.filter(({ mode }) => mode === 'exclusive').map(({ resource }) => resource);
  const read = admission.locks.filter(({ mode }) => mode === 'read').map(({ resource }) => resource);
  const { rows } = await sql<Obstacles>`
    select
      (select jsonb_agg(jsonb_build_object(
          'resource', l.resource, 'mode', l.mode, 'type', o.type, 'operation_id', o.id) order by l.resource)
        from resource_lock l join operation o on o.id = l.operation_id
        where l.resource = any(${exclusive}::text[])
          or (l.resource = any(${read}::text[]) and l.mode = 'exclusive')) as locks,
      (select jsonb_agg(jsonb_build_object('resource', resource, 'until_ms', extract(epoch from until) * 1000)
          order by until desc)
        from cooldown where resource = any(${exclusive}::text[]) and until > ${now}) as cooldowns,
      (select count(*) from operation
        where account_id = ${admission.accountId} and is_counted and finished_at is null) as in_flight,
      (select inflight_limit from account where id = ${admission.accountId}) as limit`.execute(transaction);
  return rows[0]!;
}

/** How ids begin, what that is called, and the error that tells of it. */
const kinds = [
  ['vol_', 'Volume', 'volume_busy'],
  ['ins_', 'Instance', 'instance_busy'],
] as const;

function refuseIfBusy({ locks }: Obstacles): void {
  const first = locks?.[0];
  if (first === undefined) return;
  const [, name, code] = kinds.find(([prefix]) => first.resource.startsWith(prefix)) ?? [
    '',
    first.resource,
    'resource_busy',
  ];
  throw new HoldfastError(code, `${name} is busy with operation: ${first.type}`, {
    facts: { resource: first.resource, operation: first.operation_id },
  });
}

async function refuseIfAtLimit(
  transaction: Transaction<Schema>,
  { accountId }: Admission,
  { in_flight: count, limit }: Obstacles,
): Promise<void> {
  if (limit === null || count < limit) return;
  const operations = await transaction
    .selectFrom('operation')
    .select(['id', 'type'])
    .where('account_id', '=', accountId)
    .where('is_counted', '=', true)
    .where('finished_at', 'is', null)
    .orderBy('id')
    .execute();
  const named = operations.map(({ id, type }) => `${type} (${id})`).join(', ');
  throw new HoldfastError('inflight_limit_reached', `In flight are ${count} of ${limit} operations: ${named}.`, {
    facts: { limit, operations: operations.map(({ id }) => id) },
  });
}

function refuseIfResting({ cooldowns }: Obstacles, now: Date): void {
  const longest = cooldowns?.[0];
  if (longest === undefined) return;
  const seconds = Math.ceil((longest.until_ms - now.getTime()) / 1000);
  throw new HoldfastError('cooldown_active', `Volume is in cooldown. Try again in ${seconds} seconds.`, {
    facts: { resource: longest.resource, retry_after_s: seconds },
  });
}

/** One statement: the rows of an operation, its steps, the task of the first, its locks, and the wake-up. */
async function insertAll(request: {
  readonly transaction: Transaction<Schema>;
  readonly admission: Admission;
  readonly now: Date;
  readonly id: string;
  readonly clock: WorkContext['clock'];
}): Promise<OperationRow> {
  const { transaction, admission, now, id, clock } = request;
  const { cooldown, locks } = admission;
  const steps = admission.steps.map((step, index) => ({
    id: newId('step', clock),
    operation_id: id,
    position: index + 1,
    kind: step.kind,
    queue: step.queue,
    capacity_keys: step.capacityKeys,
    payload: step.payload,
    state: index === 0 ? 'active' : 'waiting',
  }));
  const first = steps[0]!;
  const times = sql`${now}::timestamptz, ${now}::timestamptz, 1`;
  const { rows } = await sql<OperationRow>`
    with new_operation as (
      insert into operation (id, type, state, account_id, started_by, is_counted, resources,
        cooldown_resources, cooldown_success_ms, cooldown_failure_ms, created_at, updated_at, version)
      values (${id}, ${admission.type}, 'queued', ${admission.accountId}, ${admission.startedBy},
        ${admission.isUserWork && admission.accountId !== null}, ${admission.resources},
        ${cooldown.resources}, ${cooldown.successMs}, ${cooldown.failureMs}, ${times})
      returning *
    ), new_steps as (
      insert into operation_step
        (id, operation_id, position, kind, queue, capacity_keys, payload, state, created_at, updated_at, version)
      select id, operation_id, position, kind, queue, capacity_keys, payload, state, ${times}
      from jsonb_populate_recordset(null::operation_step, ${JSON.stringify(steps)}::jsonb)
    ), new_task as (
      insert into task
        (id, operation_id, step_id, queue, capacity_keys, priority, state, created_at, updated_at, version)
      values (${newId('task', clock)}, ${id}, ${first.id}, ${first.queue}, ${first.capacity_keys},
        ${admission.priority ?? 0}, 'queued', ${times})
    ), new_locks as (
      insert into resource_lock (resource, operation_id, mode, epoch, created_at, updated_at, version)
      select resource, ${id}, mode, 0, ${times}
      from unnest(${locks.map(({ resource }) => resource)}::text[], ${locks.map(({ mode }) => mode)}::text[])
        as wish(resource, mode)
    )
    select new_operation.* from new_operation, pg_notify(${workChannel}, ${first.queue})`.execute(transaction);
  return rows[0]!;
}

/**
 * Handing out work: each task to one worker, none beyond the capacities, however many workers ask at once. A task that was
 * handed out and never arrived, because the answer was lost, is handed out again to the same holder.
 */
import { inTransaction, type Schema } from '@holdfast/database';
import { sql, type Transaction } from 'kysely';
import { type Capacity, chooseWithin } from './capacity-choice.ts';
import { changeOperation } from './change-operation.ts';
import type { OperationRow, WorkContext } from './work-context.ts';

export type ClaimRequest = {
  /** Those that the worker serves. */
  readonly queues: readonly string[];
  /** The worker's session: another one after each of its starts. */
  readonly holder: string;
  /** How many more it can take. */
  readonly limit: number;
  /** What it is working on, as far as it knows. */
  readonly known: readonly string[];
};

export type ClaimedTask = {
  readonly taskId: string;
  readonly operationId: string;
  readonly type: string;
  readonly kind: string;
  readonly payload: unknown;
  /** To be sent with everything that is reported about the task. */
  readonly epoch: number;
  readonly cancelRequested: boolean;
};

/** Looked at beyond what is wanted: of the first, some may wait for the same slot. */
const CANDIDATES_MORE = 16;

export async function claimTasks(context: WorkContext, request: ClaimRequest): Promise<readonly ClaimedTask[]> {
  return await inTransaction(context, async (transaction) => {
    const lost = await readLost(transaction, request);
    const limit = request.limit - lost.length;
    if (limit <= 0) return lost;
    const candidates = await lockCandidates(transaction, request.queues, limit + CANDIDATES_MORE);
    const capacities = await lockCapacities(transaction, candidates);
    const chosen = chooseWithin({ candidates, capacities, limit });
    const claimed: ClaimedTask[] = [];
    for (const candidate of chosen)
      claimed.push(await handOut({ context, transaction, candidate, holder: request.holder }));
    return [...lost, ...claimed];
  });
}

/** What this holder has according to us, and not according to itself. */
async function readLost(
  transaction: Transaction<Schema>,
  { holder, known }: ClaimRequest,
): Promise<readonly ClaimedTask[]> {
  const { rows } = await sql<ClaimedTask>`
    select t.id as "taskId", o.id as "operationId", o.type, s.kind, s.payload, t.epoch,
      o.cancel_requested as "cancelRequested"
    from task t join operation o on o.id = t.operation_id join operation_step s on s.id = t.step_id
    where t.holder = ${holder} and t.state = 'running' and t.epoch = o.epoch and t.id <> all(${known}::text[])
    order by t.id`.execute(transaction);
  return rows;
}

type CandidateTask = {
  readonly taskId: string;
  readonly capacityKeys: readonly string[];
  readonly kind: string;
  readonly payload: unknown;
  readonly operation: OperationRow;
};

/**
 * What waits and is not being looked at by somebody else (both rows are locked: only of a locked row PostgreSQL looks again
 * whether it is still as it was asked for), without the tasks that wait for a capacity that is used up: there
 * may be thousands of them before the first that can run.
 */
async function lockCandidates(
  transaction: Transaction<Schema>,
  queues: readonly string[],
  limit: number,
): Promise<readonly CandidateTask[]> {
  type Found = OperationRow & {
    readonly task_id: string;
    readonly task_capacity_keys: readonly string[];
    readonly step_kind: string;
    readonly step_payload: unknown;
  };
  const { rows } = await sql<Found>`
    with used_up as (
      select array_agg(c.key) as keys from capacity c
      where c.slots <= (select count(*) from capacity_use u where u.key = c.key)
    )
    select o.*, t.id as task_id, t.capacity_keys as task_capacity_keys, s.kind as step_kind, s.payload as step_payload
    from task t join operation o on o.id = t.operation_id join operation_step s on s.id = t.step_id
    where t.queue = any(${queues}::text[]) and t.state = 'queued'
      and not (t.capacity_keys && coalesce((select keys from used_up), '{}'))
    order by t.priority desc, t.id
    limit ${limit}
    for update of o, t skip locked`.execute(transaction);
  return rows.map(({ task_id, task_capacity_keys, step_kind, step_payload, ...operation }) => ({
    taskId: task_id,
    capacityKeys: task_capacity_keys,
    kind: step_kind,
    payload: step_payload,
    operation,
  }));
}

/**
 * Until this transaction ends nobody else takes a slot of these. The uses are counted by a statement of their own: it sees
 * what was taken while we waited for the locks.
 */
async function lockCapacities(
  transaction: Transaction<Schema>,
  candidates: readonly CandidateTask[],
): Promise<ReadonlyMap<string, Capacity>> {
  const keys = [...new Set(candidates.flatMap(({ capacityKeys }) => capacityKeys))];
  if (keys.length === 0) return new Map();
  await sql`select key from capacity where key = any(${keys}::text[]) order by key for update`.execute(transaction);
  const { rows } = await sql<Capacity & { readonly key: string }>`
    select c.key, c.slots, (select count(*) from capacity_use u where u.key = c.key) as used
    from capacity c where c.key = any(${keys}::text[])`.execute(transaction);
  return new Map(rows.map(({ key, slots, used }) => [key, { slots, used }]));
}

async function handOut(request: {
  readonly context: WorkContext;
  readonly transaction: Transaction<Schema>;
  readonly candidate: CandidateTask;
  readonly holder: string;
}): Promise<ClaimedTask> {
  const { context, transaction, candidate, holder } = request;
  const { taskId, capacityKeys, kind, payload, operation } = candidate;
  const now = new Date(context.clock.nowMs());
  const epoch = operation.epoch + 1;
  await sql`
    with claimed as (
      update task
      set state = 'running', epoch = ${epoch}, holder = ${holder}, claimed_at = ${now}, updated_at = ${now}, version = version + 1
      where id = ${taskId}
    ), fenced_locks as (
      update resource_lock set epoch = ${epoch}, updated_at = ${now}, version = version + 1 where operation_id = ${operation.id}
    )
    insert into capacity_use (key, task_id, created_at, updated_at)
    select distinct key, ${taskId}, ${now}::timestamptz, ${now}::timestamptz from unnest(${capacityKeys}::text[]) as key`.execute(
    transaction,
  );
  const changed = await changeOperation({
    context,
    transaction,
    operation,
    event: 'claim',
    values: { epoch, started_at: operation.started_at ?? now, heartbeat_at: now, progress_at: now },
  });
  return {
    taskId,
    operationId: operation.id,
    type: operation.type,
    kind,
    payload,
    epoch,
    cancelRequested: changed.cancel_requested,
  };
}

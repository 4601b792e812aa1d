/** Ending an operation from outside: somebody cancels it, an administrator declares it failed, or its worker is lost. */
import { HoldfastError, type Problem, toProblem } from '@holdfast/base';
import { inTransaction, type Schema } from '@holdfast/database';
import type { Transaction } from 'kysely';
import { changeOperation, lockOperation } from './change-operation.ts';
import type { OperationState } from './operation-state.ts';
import { GRACE_MS, IDLE_LIMIT_MS, judge, SILENT_LIMIT_MS } from './stall-rule.ts';
import type { OperationRow, WorkContext } from './work-context.ts';

/**
 * One that waits is canceled at once; the worker of one that runs hears of it with its next heartbeat, and may still succeed.
 * @returns its state now @throws operation_not_found operation_ended
 */
export async function cancelOperation(context: WorkContext, operationId: string): Promise<OperationState> {
  return await inTransaction(context, async (transaction) => {
    const operation = await lockOperation(transaction, operationId);
    const values = { cancel_requested: true };
    const changed = await changeOperation({ context, transaction, operation, event: 'request_cancel', values });
    return changed.state;
  });
}

/** Whatever its worker still reports is refused from here on. @throws operation_not_found operation_ended */
export async function fenceOperation(context: WorkContext, operationId: string, reason: Problem): Promise<void> {
  await inTransaction(context, async (transaction) => {
    const operation = await lockOperation(transaction, operationId);
    await fence({ context, transaction, operation, reason });
  });
}

/**
 * A worker began its next life: what it held in the last one is taken back at once, not only when it counts as lost. What it
 * can prove of that it reports before, in the name of the old session. @returns the operations concerned
 */
export async function fenceHolder(context: WorkContext, holder: string, reason: Problem): Promise<readonly string[]> {
  return await inTransaction(context, async (transaction) => {
    const held = await transaction
      .selectFrom('task')
      .select('operation_id')
      .where('holder', '=', holder)
      .where('state', '=', 'running')
      .orderBy('operation_id')
      .execute();
    const fenced: string[] = [];
    for (const { operation_id: id } of held) {
      const operation = await lockOperation(transaction, id);
      // Ended while we waited for the lock, or gone on to a step of somebody else's.
      if (!(await isHeldBy(transaction, id, holder))) continue;
      await fence({ context, transaction, operation, reason });
      fenced.push(id);
    }
    return fenced;
  });
}

async function isHeldBy(transaction: Transaction<Schema>, operationId: string, holder: string): Promise<boolean> {
  const row = await transaction
    .selectFrom('task')
    .select('id')
    .where('operation_id', '=', operationId)
    .where('state', '=', 'running')
    .where('holder', '=', holder)
    .executeTakeFirst();
  return row !== undefined;
}

export type Sweep = { readonly stalled: readonly string[]; readonly fenced: readonly string[] };

/** Operations looked at in one go. */
const BATCH = 100;

/**
 * Declares stalled what is stuck, and takes back what stays so. Call it every half minute; several servers may.
 * @returns ids
 */
export async function sweepOperations(context: WorkContext): Promise<Sweep> {
  const stalled: string[] = [];
  const fenced: string[] = [];
  for (const id of await findLate(context)) {
    const outcome = await inTransaction(context, async (transaction) => await sweepOne({ context, transaction, id }));
    if (outcome === 'stalled') stalled.push(id);
    if (outcome === 'fenced') fenced.push(id);
  }
  return { stalled, fenced };
}

/** Only what a worker holds: what waits for one is not stuck. */
async function findLate({ db, clock }: WorkContext): Promise<readonly string[]> {
  const nowMs = clock.nowMs();
  const rows = await db
    .selectFrom('operation')
    .innerJoin('task', 'task.operation_id', 'operation.id')
    .select('operation.id')
    .where('operation.state', 'in', ['running', 'canceling', 'stalled'])
    .where('task.state', '=', 'running')
    .where((is) =>
      is.or([
        is('operation.heartbeat_at', '<=', new Date(nowMs - SILENT_LIMIT_MS)),
        is('operation.progress_at', '<=', new Date(nowMs - IDLE_LIMIT_MS)),
      ]),
    )
    .where((is) =>
      is.or([is('operation.stalled_at', 'is', null), is('operation.stalled_at', '<=', new Date(nowMs - GRACE_MS))]),
    )
    .orderBy('operation.id')
    .limit(BATCH)
    .execute();
  return rows.map(({ id }) => id);
}

type OneSweep = { readonly context: WorkContext; readonly transaction: Transaction<Schema>; readonly id: string };

/** Judged again under the lock: its worker may have been heard meanwhile. */
async function sweepOne({ context, transaction, id }: OneSweep): Promise<'stalled' | 'fenced' | 'nothing'> {
  const operation = await lockOperation(transaction, id);
  const { state, heartbeat_at: heartbeatAt, progress_at: progressAt, stalled_at: stalledAt } = operation;
  if (heartbeatAt === null || progressAt === null || operation.finished_at !== null) return 'nothing';
  const verdict = judge({
    nowMs: context.clock.nowMs(),
    heartbeatMs: heartbeatAt.getTime(),
    progressMs: progressAt.getTime(),
    stalledMs: stalledAt?.getTime(),
  });
  switch (verdict) {
    case 'alive':
      return 'nothing';
    case 'stalled':
      if (state === 'stalled') return 'nothing';
      await changeOperation({ context, transaction, operation, event: 'stall' });
      return 'stalled';
    case 'lost':
      await fence({ context, transaction, operation, reason: lostProblem(operation) });
      return 'fenced';
    default:
      return verdict satisfies never;
  }
}

async function fence(request: {
  readonly context: WorkContext;
  readonly transaction: Transaction<Schema>;
  readonly operation: OperationRow;
  readonly reason: Problem;
}): Promise<void> {
  const { context, transaction, operation, reason } = request;
  const values = { epoch: operation.epoch + 1, error: JSON.stringify(reason) };
  await changeOperation({ context, transaction, operation, event: 'fence', values });
}

function lostProblem({ id, heartbeat_at: heartbeatAt, progress_at: progressAt }: OperationRow): Problem {
  const heard = heartbeatAt?.toISOString() ?? 'its beginning';
  const moved = progressAt?.toISOString() ?? 'its beginning';
  const detail = `The worker of operation ${id} was last heard at ${heard} and made progress last at ${moved}.`;
  return toProblem(new HoldfastError('worker_lost', detail));
}

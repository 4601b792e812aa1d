/**
 * What a worker tells of its task. Everything carries the epoch that the task was handed out with; with any other, or from
 * another holder, nothing is written.
 */
import { HoldfastError, newId, type Problem } from '@holdfast/base';
import { inTransaction, type OperationStepTable, type Schema, type TaskTable } from '@holdfast/database';
import { type Selectable, sql, type Transaction } from 'kysely';
import { changeOperation } from './change-operation.ts';
import { judge } from './stall-rule.ts';
import { type OperationRow, workChannel, type WorkContext } from './work-context.ts';

export type TaskReference = { readonly taskId: string; readonly epoch: number; readonly holder: string };

export type Progress = {
  readonly phase: string | null;
  readonly bytesDone: number | null;
  readonly bytesTotal: number | null;
};

export type TaskOutcome =
  | { readonly kind: 'succeeded'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly error: Problem }
  /** It stopped because it was asked to. */
  | { readonly kind: 'canceled' };

export type LogLine = { readonly level: 'info' | 'warning' | 'error'; readonly message: string };

/** @returns whether it shall stop @throws task_fenced */
export async function reportProgress(
  context: WorkContext,
  reference: TaskReference,
  report: { readonly progress: Progress; readonly log?: readonly LogLine[] },
): Promise<{ readonly cancelRequested: boolean }> {
  return await inTransaction(context, async (transaction) => {
    const { operation } = await lockHeld(transaction, reference);
    const { phase, bytesDone, bytesTotal } = report.progress;
    const nowMs = context.clock.nowMs();
    const now = new Date(nowMs);
    const hasMoved = phase !== operation.phase || bytesDone !== operation.bytes_done;
    const progressMs = hasMoved ? nowMs : (operation.progress_at ?? now).getTime();
    const stalledMs = operation.stalled_at?.getTime();
    const changed = await changeOperation({
      context,
      transaction,
      operation,
      // Who is heard and gets nowhere stays stalled.
      event: judge({ nowMs, heartbeatMs: nowMs, progressMs, stalledMs }) === 'alive' ? 'heartbeat' : 'stall',
      values: {
        phase,
        bytes_done: bytesDone,
        bytes_total: bytesTotal,
        heartbeat_at: now,
        progress_at: new Date(progressMs),
      },
    });
    await writeLog({ context, transaction, operationId: operation.id, lines: report.log ?? [] });
    return { cancelRequested: changed.cancel_requested };
  });
}

/**
 * The last that is told of a task: the next step is queued, or the operation ends. Told again because the answer was lost,
 * it changes nothing. @throws task_fenced
 */
export async function finishTask(context: WorkContext, reference: TaskReference, outcome: TaskOutcome): Promise<void> {
  await inTransaction(context, async (transaction) => {
    const held = await lockTask(transaction, reference);
    if (isRepeated(held, reference, outcome)) return;
    refuseUnlessHeld(held, reference);
    const { operation } = held;
    if (outcome.kind === 'succeeded') {
      const next = await findNextStep(transaction, held.task);
      if (next !== undefined && !operation.cancel_requested) {
        await goOn({ context, transaction, held, next, result: outcome.result });
        return;
      }
      // What was asked to stop does not begin its next step.
      const event = next === undefined ? 'succeed' : 'cancel';
      const result = event === 'succeed' ? JSON.stringify(outcome.result) : null;
      await changeOperation({ context, transaction, operation, event, values: { result } });
      return;
    }
    const event = outcome.kind === 'failed' ? 'fail' : 'cancel';
    const error = outcome.kind === 'failed' ? JSON.stringify(outcome.error) : null;
    await changeOperation({ context, transaction, operation, event, values: { error } });
  });
}

type TaskRow = Selectable<TaskTable>;
type HeldTask = { readonly task: TaskRow; readonly operation: OperationRow };

/** Both as they are under the lock of the operation. @throws task_fenced when there is no such task */
async function lockTask(transaction: Transaction<Schema>, { taskId }: TaskReference): Promise<HeldTask> {
  const operation = await transaction
    .selectFrom('operation')
    .selectAll()
    .where('id', '=', (is) => is.selectFrom('task').select('operation_id').where('task.id', '=', taskId))
    .forUpdate()
    .executeTakeFirst();
  const task = await transaction.selectFrom('task').selectAll().where('id', '=', taskId).executeTakeFirst();
  if (operation === undefined || task === undefined)
    throw new HoldfastError('task_fenced', `There is no task ${taskId}.`);
  return { task, operation };
}

async function lockHeld(transaction: Transaction<Schema>, reference: TaskReference): Promise<HeldTask> {
  const held = await lockTask(transaction, reference);
  refuseUnlessHeld(held, reference);
  return held;
}

function refuseUnlessHeld({ task, operation }: HeldTask, { taskId, epoch, holder }: TaskReference): void {
  const isHeld =
    task.state === 'running' && task.holder === holder && task.epoch === epoch && operation.epoch === epoch;
  if (isHeld) return;
  throw new HoldfastError('task_fenced', `Task ${taskId} is not held by ${holder} with epoch ${epoch} any more.`, {
    facts: { task: taskId, operation: operation.id, epoch },
  });
}

function isRepeated({ task, operation }: HeldTask, { epoch, holder }: TaskReference, outcome: TaskOutcome): boolean {
  if (task.state !== outcome.kind || task.epoch !== epoch || task.holder !== holder) return false;
  // Failed it may also have been declared by a fence, of which its worker has to hear.
  return outcome.kind === 'succeeded' || operation.epoch === epoch;
}

type StepRow = Selectable<OperationStepTable>;

async function findNextStep(transaction: Transaction<Schema>, task: TaskRow): Promise<StepRow | undefined> {
  return await transaction
    .selectFrom('operation_step')
    .selectAll()
    .where('operation_id', '=', task.operation_id)
    .where('state', '=', 'waiting')
    .orderBy('position')
    .executeTakeFirst();
}

async function goOn(request: {
  readonly context: WorkContext;
  readonly transaction: Transaction<Schema>;
  readonly held: HeldTask;
  readonly next: StepRow;
  readonly result: unknown;
}): Promise<void> {
  const { context, transaction, held, next, result } = request;
  const { task, operation } = held;
  const now = new Date(context.clock.nowMs());
  await sql`
    with ended_task as (
      update task set state = 'succeeded', finished_at = ${now}, updated_at = ${now}, version = version + 1
      where id = ${task.id}
    ), ended_step as (
      update operation_step
      set state = 'succeeded', result = ${JSON.stringify(result ?? null)}, updated_at = ${now}, version = version + 1
      where id = ${task.step_id}
    ), next_step as (
      update operation_step set state = 'active', updated_at = ${now}, version = version + 1 where id = ${next.id}
    )
    delete from capacity_use where task_id = ${task.id}`.execute(transaction);
  await transaction
    .insertInto('task')
    .values({
      id: newId('task', context.clock),
      operation_id: operation.id,
      step_id: next.id,
      queue: next.queue,
      capacity_keys: next.capacity_keys,
      priority: task.priority,
      state: 'queued',
      holder: null,
      claimed_at: null,
      finished_at: null,
      created_at: now,
      updated_at: now,
    })
    .execute();
  await changeOperation({
    context,
    transaction,
    operation,
    event: 'heartbeat',
    values: { heartbeat_at: now, progress_at: now },
  });
  // The slots that this step had are free, too.
  await sql`select pg_notify(${workChannel}, '')`.execute(transaction);
}

async function writeLog(request: {
  readonly context: WorkContext;
  readonly transaction: Transaction<Schema>;
  readonly operationId: string;
  readonly lines: readonly LogLine[];
}): Promise<void> {
  const { context, transaction, operationId, lines } = request;
  if (lines.length === 0) return;
  const now = new Date(context.clock.nowMs());
  const last = await transaction
    .selectFrom('operation_log')
    .select((is) => is.fn.max('position').as('position'))
    .where('operation_id', '=', operationId)
    .executeTakeFirst();
  const rows = lines.map(({ level, message }, index) => ({
    id: newId('log', context.clock),
    operation_id: operationId,
    position: (last?.position ?? 0) + index + 1,
    level,
    message,
    created_at: now,
    updated_at: now,
  }));
  await transaction.insertInto('operation_log').values(rows).execute();
}

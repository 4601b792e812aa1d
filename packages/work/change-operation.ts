/** The one place that writes a new state, and what ends with an operation. Always under the lock of its row. */
import { HoldfastError } from '@holdfast/base';
import type { Schema } from '@holdfast/database';
import { sql, type Transaction, type UpdateObject } from 'kysely';
import { isFinal, nextState, type OperationEvent } from './operation-state.ts';
import { type OperationRow, workChannel, type WorkContext } from './work-context.ts';

export type Change = {
  readonly context: Pick<WorkContext, 'clock' | 'onChange'>;
  readonly transaction: Transaction<Schema>;
  /** As it was read under its lock. */
  readonly operation: OperationRow;
  readonly event: OperationEvent;
  /** What else of the row changes with it. */
  readonly values?: Omit<UpdateObject<Schema, 'operation'>, 'state' | 'version' | 'updated_at'>;
};

/** Locks it against every other change until the transaction ends. @throws operation_not_found */
export async function lockOperation(transaction: Transaction<Schema>, id: string): Promise<OperationRow> {
  const row = await transaction.selectFrom('operation').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
  if (row === undefined) throw new HoldfastError('operation_not_found', `There is no operation ${id}.`);
  return row;
}

/**
 * Writes the state that follows, and with a final one ends all that the operation held: its task, its steps, its locks, its
 * slots; its resources begin to rest. @throws operation_ended where nothing can follow
 */
export async function changeOperation(change: Change): Promise<OperationRow> {
  const { context, transaction, operation, event, values } = change;
  const state = nextState({ state: operation.state, cancelRequested: operation.cancel_requested }, event);
  if (state === undefined) {
    throw new HoldfastError('operation_ended', `Operation ${operation.id} is ${operation.state} already.`);
  }
  const now = new Date(context.clock.nowMs());
  const changed = await transaction
    .updateTable('operation')
    .set({
      stalled_at: state === 'stalled' ? (operation.stalled_at ?? now) : null,
      finished_at: isFinal(state) ? now : null,
      ...values,
      state,
      updated_at: now,
      version: operation.version + 1,
    })
    .where('id', '=', operation.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  if (isFinal(state)) await endAll({ transaction, operation: changed, state, now });
  if (state !== operation.state) await context.onChange?.(transaction, { operation: changed, from: operation.state });
  return changed;
}

type End = {
  readonly transaction: Transaction<Schema>;
  readonly operation: OperationRow;
  readonly state: 'succeeded' | 'failed' | 'canceled';
  readonly now: Date;
};

/** What was handed out stays void: the epoch that it carries is not the operation's any more, or its task has ended. */
async function endAll({ transaction, operation, state, now }: End): Promise<void> {
  const restMs = state === 'succeeded' ? operation.cooldown_success_ms : operation.cooldown_failure_ms;
  const until = new Date(now.getTime() + restMs);
  const resting = restMs > 0 ? operation.cooldown_resources : [];
  await sql`
    with ended_task as (
      update task set state = ${state}, finished_at = ${now}, updated_at = ${now}, version = version + 1
      where operation_id = ${operation.id} and state in ('queued', 'running')
    ), ended_steps as (
      update operation_step
      set state = case when state = 'active' then ${state} else 'canceled' end, updated_at = ${now}, version = version + 1
      where operation_id = ${operation.id} and state in ('waiting', 'active')
    ), freed_slots as (
      delete from capacity_use where task_id in (select id from task where operation_id = ${operation.id})
    ), freed_locks as (
      delete from resource_lock where operation_id = ${operation.id}
    ), rest as (
      insert into cooldown (resource, until, cause, created_at, updated_at)
      select resource, ${until}::timestamptz, ${operation.id}, ${now}::timestamptz, ${now}::timestamptz
      from unnest(${resting}::text[]) as resource
      on conflict (resource) do update
      set until = excluded.until, cause = excluded.cause, updated_at = excluded.updated_at,
        version = cooldown.version + 1
      where cooldown.until < excluded.until
    )
    select pg_notify(${workChannel}, '') -- others may have waited for a slot`.execute(transaction);
}

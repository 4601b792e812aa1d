/**
 * The states of an operation, as a pure rule. Whoever changes one asks here, under the lock of its row.
 *
 *     queued -> running -> succeeded | failed | canceled
 *     queued -> canceled | failed
 *     running -> canceling -> canceled | succeeded | failed
 *     running | canceling -> stalled -> (its worker is back) running | canceling, or failed (fenced)
 */
import type { OperationTable } from '@holdfast/database';

export type OperationState = OperationTable['state'];

export type OperationEvent =
  /** A worker took its first task, or the next. */
  | 'claim'
  /** Its worker gave a sign of life or of progress. */
  | 'heartbeat'
  /** Nothing was heard of its worker for too long, or it makes no progress. */
  | 'stall'
  | 'request_cancel'
  /** The worker did what it was asked. */
  | 'succeed'
  | 'fail'
  /** The worker stopped because it was asked to. */
  | 'cancel'
  /** Taken away from its worker for good: stalled for too long, or by an administrator. */
  | 'fence';

export type StateBefore = { readonly state: OperationState; readonly cancelRequested: boolean };

/** Undefined when this cannot happen in that state. */
export function nextState({ state, cancelRequested }: StateBefore, event: OperationEvent): OperationState | undefined {
  switch (state) {
    case 'queued':
      return afterQueued(event);
    case 'running':
    case 'canceling':
    case 'stalled':
      return afterLive({ state, cancelRequested }, event);
    case 'succeeded':
    case 'failed':
    case 'canceled':
      return undefined;
    default:
      return state satisfies never;
  }
}

export function isFinal(state: OperationState): state is 'succeeded' | 'failed' | 'canceled' {
  return state === 'succeeded' || state === 'failed' || state === 'canceled';
}

function afterQueued(event: OperationEvent): OperationState | undefined {
  if (event === 'claim') return 'running';
  // Nobody works on it: what was asked for happens at once.
  if (event === 'request_cancel' || event === 'cancel') return 'canceled';
  return event === 'fence' || event === 'fail' ? 'failed' : undefined;
}

function afterLive({ state, cancelRequested }: StateBefore, event: OperationEvent): OperationState | undefined {
  const alive = cancelRequested ? 'canceling' : 'running';
  switch (event) {
    case 'claim':
    case 'heartbeat':
      return alive;
    case 'stall':
      return 'stalled';
    case 'request_cancel':
      return state === 'stalled' ? 'stalled' : 'canceling';
    case 'succeed':
      return 'succeeded';
    case 'fail':
    case 'fence':
      return 'failed';
    case 'cancel':
      return cancelRequested ? 'canceled' : 'failed';
    default:
      return event satisfies never;
  }
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isFinal, nextState, type OperationEvent, type OperationState, type StateBefore } from './operation-state.ts';

const events: readonly OperationEvent[] = [
  'claim',
  'heartbeat',
  'stall',
  'request_cancel',
  'succeed',
  'fail',
  'cancel',
  'fence',
];
const states: readonly OperationState[] = [
  'queued',
  'running',
  'canceling',
  'stalled',
  'succeeded',
  'failed',
  'canceled',
];

/** data-model.md, line by line; a stay is no transition. */
const drawn: Readonly<Record<OperationState, readonly OperationState[]>> = {
  queued: ['running', 'canceled', 'failed'],
  running: ['succeeded', 'failed', 'canceled', 'canceling', 'stalled'],
  canceling: ['canceled', 'succeeded', 'failed', 'stalled'],
  stalled: ['running', 'canceling', 'failed', 'succeeded', 'canceled'],
  succeeded: [],
  failed: [],
  canceled: [],
};

const histories = fc.array(fc.constantFrom(...events), { maxLength: 30 });

/** All that an operation goes through; what cannot happen is skipped, as the caller's refusal would. */
function live(history: readonly OperationEvent[]): readonly StateBefore[] {
  const course: StateBefore[] = [{ state: 'queued', cancelRequested: false }];
  for (const event of history) {
    const now = course.at(-1)!;
    const cancelRequested = now.cancelRequested || event === 'request_cancel';
    const state = nextState({ ...now, cancelRequested }, event);
    if (state !== undefined) course.push({ state, cancelRequested });
  }
  return course;
}

test('only the transitions that are drawn happen', () => {
  fc.assert(
    fc.property(histories, (history) => {
      const course = live(history);
      for (const [index, { state }] of course.entries()) {
        const next = course[index + 1]?.state ?? state;
        assert.ok(next === state || drawn[state].includes(next), `${state} -> ${next}`);
      }
    }),
  );
});

test('nothing follows an end', () => {
  for (const state of states.filter(isFinal)) {
    for (const event of events) {
      for (const cancelRequested of [false, true])
        assert.equal(nextState({ state, cancelRequested }, event), undefined);
    }
  }
});

test('whatever happened, a fence ends it as failed, and a success of its worker as succeeded', () => {
  fc.assert(
    fc.property(histories, (history) => {
      const now = live(history).at(-1)!;
      if (isFinal(now.state)) return;
      assert.equal(nextState(now, 'fence'), 'failed');
      if (now.state !== 'queued') assert.equal(nextState(now, 'succeed'), 'succeeded');
    }),
  );
});

test('a wish to cancel survives a stall', () => {
  assert.deepEqual(
    live(['claim', 'request_cancel', 'stall', 'heartbeat']).map(({ state }) => state),
    ['queued', 'running', 'canceling', 'stalled', 'canceling'],
  );
});

test('a worker that stops without having been asked to has failed', () => {
  assert.equal(nextState({ state: 'running', cancelRequested: false }, 'cancel'), 'failed');
});

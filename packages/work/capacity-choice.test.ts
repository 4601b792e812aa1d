import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Candidate, type Capacity, chooseWithin } from './capacity-choice.ts';

const keys = ['host/a', 'host/b', 'storage/s', 'account/x', 'without limit'];
const candidates = fc.array(fc.record({ capacityKeys: fc.array(fc.constantFrom(...keys), { maxLength: 4 }) }), {
  maxLength: 20,
});
const capacities = fc
  .array(fc.record({ slots: fc.nat({ max: 4 }), used: fc.nat({ max: 5 }) }), { minLength: 4, maxLength: 4 })
  .map((each) => new Map(each.map((capacity, index) => [keys[index]!, capacity])));
const requests = fc.record({ candidates, capacities, limit: fc.nat({ max: 12 }) });

function takenOf(chosen: readonly Candidate[], key: string): number {
  return chosen.filter(({ capacityKeys }) => capacityKeys.includes(key)).length;
}

function isFull(chosen: readonly Candidate[], [key, { slots, used }]: readonly [string, Capacity]): boolean {
  return used + takenOf(chosen, key) >= slots;
}

test('no capacity is taken beyond its slots, nor any of one that is overdrawn already', () => {
  fc.assert(
    fc.property(requests, (request) => {
      const chosen = chooseWithin(request);
      assert.ok(chosen.length <= request.limit);
      for (const [key, { slots, used }] of request.capacities) {
        assert.ok(takenOf(chosen, key) <= Math.max(0, slots - used), key);
      }
    }),
  );
});

test('who is passed over has a capacity that is full, and order is kept', () => {
  fc.assert(
    fc.property(requests, (request) => {
      const chosen = chooseWithin(request);
      const positions = chosen.map((task) => request.candidates.indexOf(task));
      assert.deepEqual(
        positions,
        positions.toSorted((left, right) => left - right),
      );
      if (chosen.length === request.limit) return;
      for (const task of request.candidates.filter((candidate) => !chosen.includes(candidate))) {
        const wanted = [...request.capacities].filter(([key]) => task.capacityKeys.includes(key));
        assert.ok(wanted.some((capacity) => isFull(chosen, capacity)));
      }
    }),
  );
});

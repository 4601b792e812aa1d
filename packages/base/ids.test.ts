import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Clock } from './clock.ts';
import { isId, newId } from './ids.ts';

const at = (ms: number): Clock => ({ nowMs: () => ms, monotonicMs: () => 0 });

test('ids are UUIDv7 with their prefix, and sort by the time of their making', () => {
  const ms = fc.integer({ min: 0, max: 2 ** 48 - 1 });
  fc.assert(
    fc.property(ms, ms, (left, right) => {
      const [first, second] = [newId('bkp', at(left)), newId('bkp', at(right))];
      assert.ok(isId('bkp', first) && !isId('ses', first));
      assert.match(first, /^bkp_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
      if (left !== right) assert.equal(first < second, left < right);
    }),
  );
});

test('ids of one moment differ', () => {
  const clock = at(1);
  assert.equal(new Set(Array.from({ length: 1000 }, () => newId('ses', clock))).size, 1000);
});

test('what is not exactly an id is none', () => {
  const id = newId('key');
  for (const text of [
    '',
    'key_',
    id.slice(0, -1),
    `${id}0`,
    id.toUpperCase(),
    id.replace('_', '-'),
    ` ${id}`,
    `${id}\n`,
  ]) {
    assert.ok(!isId('key', text), JSON.stringify(text));
  }
});

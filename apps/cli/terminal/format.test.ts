import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCount, formatDuration, formatLocalTime, formatRate } from './format.ts';

test('durations get coarser as they get longer', () => {
  for (const [durationMs, text] of [
    [0, '0 ms'],
    [350.4, '350 ms'],
    [1000, '1.0 s'],
    [12_345, '12.3 s'],
    [99_949, '99.9 s'],
    [99_950, '1 min 40 s'],
    [245_000, '4 min 05 s'],
    [3_599_400, '59 min 59 s'],
    [3_599_600, '1 h 00 min'],
    [7_620_000, '2 h 07 min'],
    [180_000_000, '50 h 00 min'],
  ] as const) {
    assert.equal(formatDuration(durationMs), text);
  }
});

test('a rate over no time at all is still a number', () => {
  assert.equal(formatRate(1024 * 1024, 0), '1000.00 MiB/s');
  assert.equal(formatRate(0, 1000), '0 B/s');
});

test('times are told in the zone of the machine', () => {
  assert.equal(formatLocalTime(new Date(2026, 10, 21, 9, 5, 7)), '2026-11-21 09:05:07');
});

test('one is not many', () => {
  assert.equal(formatCount(1, 'point'), '1 point');
  assert.equal(formatCount(0, 'point'), '0 points');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, MiB } from '@holdfast/base';
import { fakeClock } from '@holdfast/testing';
import { parseChunkSize } from './chunk-size.ts';
import { parseBytes, parseDuration, parsePercent, parseTime, parseWhole, splitDiskValue } from './parse-values.ts';

const isUsage = (error: unknown): boolean => hasCode(error, 'usage');

test('byte counts take units of 1024', () => {
  for (const [text, sizeBytes] of [
    ['1', 1],
    ['65536', 65536],
    ['512B', 512],
    ['64k', 65536],
    ['64KiB', 65536],
    ['64 KB', 65536],
    ['1.5M', 1.5 * MiB],
    ['8T', 8 * MiB * MiB],
  ] as const) {
    assert.equal(parseBytes('--x', text), sizeBytes, text);
  }
});

test('what is no count of bytes above zero is refused', () => {
  for (const text of ['', '0', '-1', 'M', '1e6', '64KiBs', '0x10', '9999999T', '1,5M', '0.1']) {
    assert.throws(() => parseBytes('--x', text), isUsage, text);
  }
});

test('chunk sizes are profiles or powers of two', () => {
  assert.equal(parseChunkSize('--x', undefined), undefined);
  assert.equal(parseChunkSize('--x', 'database'), 256 * 1024);
  assert.equal(parseChunkSize('--x', '4MiB'), 4 * MiB);
  for (const text of ['32K', '8M', '65537', '1.5M', 'toString'])
    assert.throws(() => parseChunkSize('--x', text), isUsage);
});

test('a disk is named before the first =', () => {
  assert.deepEqual(splitDiskValue('vdb=/images/a=b.raw'), { disk: 'vdb', value: '/images/a=b.raw' });
  for (const text of ['a.raw', '/images/a=b.raw', 'vda=', '=x', 'VDA=x', 'nbd://host/a=b']) {
    assert.equal(splitDiskValue(text), undefined, text);
  }
});

test('times are of this machine unless they say a zone, and never to come', () => {
  const clock = fakeClock();
  const past = new Date(clock.nowMs() - 90 * 86_400_000);
  assert.equal(parseTime('--x', '2020-01-02T03:04:05Z', clock), Date.UTC(2020, 0, 2, 3, 4, 5));
  assert.equal(parseTime('--x', '2020-01-02T03:04+02:00', clock), Date.UTC(2020, 0, 2, 1, 4));
  assert.equal(parseTime('--x', '2020-01-02', clock), new Date(2020, 0, 2).getTime());
  assert.equal(parseTime('--x', '2020-01-02 03:04', clock), new Date(2020, 0, 2, 3, 4).getTime());
  assert.equal(
    parseTime('--x', past.toISOString().replace(/\.\d+/, ''), clock),
    Math.floor(past.getTime() / 1000) * 1000,
  );
  for (const text of ['', 'yesterday', '2020', '2020-13-01', '2020-01-02T25:00', '9999-01-01', '1', '2020-01-02Z']) {
    assert.throws(() => parseTime('--x', text, clock), isUsage, text);
  }
});

test('durations have a unit', () => {
  for (const [text, durationMs] of [
    ['1s', 1000],
    ['45m', 45 * 60_000],
    ['12h', 12 * 3_600_000],
    ['30d', 30 * 86_400_000],
    ['2w', 14 * 86_400_000],
    ['1.5 H', 5_400_000],
  ] as const) {
    assert.equal(parseDuration('--x', text), durationMs, text);
  }
  for (const text of ['', '0s', '-1h', '5', 'h', '1y', '1h30m', '99999999999w', '0.0001s']) {
    assert.throws(() => parseDuration('--x', text), isUsage, text);
  }
});

test('whole numbers', () => {
  assert.equal(parseWhole('--x', '0'), 0);
  assert.equal(parseWhole('--x', '030'), 30);
  for (const text of ['', '-1', '1.5', '7d', ' 7', '1e3', '99999999999']) {
    assert.throws(() => parseWhole('--x', text), isUsage, text);
  }
});

test('shares are above 0 and up to 100', () => {
  for (const [text, percent] of [
    ['50', 50],
    ['100%', 100],
    ['12.5%', 12.5],
  ] as const) {
    assert.equal(parsePercent('--x', text), percent, text);
  }
  for (const text of ['', '0', '-5', '101', '5 %', 'half', '%']) {
    assert.throws(() => parsePercent('--x', text), isUsage, text);
  }
});

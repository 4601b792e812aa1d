import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { judge } from './judgement.ts';
import { spreadOf, summarize } from './summary.ts';
import type { Measurement, Work } from './works.ts';

const dirtyChunkBytes = { scattered: 800 * MiB, runs: 120 * MiB };
const measured = (contender: string, work: Work, wallMs: number, round = 0): Measurement => ({
  contender,
  work,
  round,
  usage: { wallMs, cpuMs: wallMs, peakBytes: 1, readBytes: 1, writtenBytes: 1 },
});
const verdicts = (measurements: readonly Measurement[]): ReadonlyMap<string, string> =>
  new Map(judge({ summaries: summarize(measurements), dirtyChunkBytes }).map(({ title, verdict }) => [title, verdict]));

test('a median is the middle value, or the mean of the two in the middle', () => {
  assert.deepEqual(spreadOf([9, 1, 5]), { median: 5, min: 1, max: 9 });
  assert.deepEqual(spreadOf([9, 1, 5, 3]), { median: 4, min: 1, max: 9 });
});

test('what was not run is not judged', () => {
  assert.deepEqual(new Set(verdicts([measured('restic', 'full', 100)]).values()), new Set(['not measured']));
});

test('medians are compared, not single rounds', () => {
  const rounds = [300, 340, 9000].map((wallMs, round) => measured('holdfast', 'full', wallMs, round));
  assert.equal(verdicts([...rounds, measured('restic', 'full', 1000)]).get('full backup / restic'), 'PASS');
});

test('an increment is judged without the start of the program', () => {
  const rest = [measured('holdfast', 'version', 50), measured('restic', 'runs', 1000)];
  const title = '1 % in 1 MiB runs / restic';
  assert.equal(verdicts([measured('holdfast', 'runs', 149), ...rest]).get(title), 'PASS');
  assert.equal(verdicts([measured('holdfast', 'runs', 151), ...rest]).get(title), 'MISS');
});

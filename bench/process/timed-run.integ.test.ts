import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { timedRun } from './timed-run.ts';

test('counts time, memory and bytes of a program and of its children', async () => {
  const script = 'sleep 0.2; dd if=/dev/zero of=/dev/null bs=32M count=4 2>/dev/null; echo done';
  const { usage, stdout } = await timedRun({ command: ['sh', '-c', script] });
  assert.equal(stdout, 'done\n');
  assert.ok(usage.wallMs >= 200);
  assert.ok(usage.peakBytes >= 32 * MiB);
  assert.ok(usage.readBytes >= 128 * MiB && usage.readBytes < 140 * MiB);
  assert.ok(usage.writtenBytes >= 128 * MiB && usage.writtenBytes < 140 * MiB);
});

test('a program that fails is an error with what it said', async () => {
  await assert.rejects(timedRun({ command: ['sh', '-c', 'echo broken >&2; exit 3'] }), /exit 3\nbroken/);
});

test('an abort ends the program behind time(1) too', async () => {
  const startedMs = performance.now();
  const signal = AbortSignal.timeout(100);
  await assert.rejects(timedRun({ command: ['sh', '-c', 'sleep 20'], signal }), { name: 'TimeoutError' });
  assert.ok(performance.now() - startedMs < 5000);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '@holdfast/testing';
import { createOutput } from './output.ts';

function terminal(options: { readonly json?: boolean; readonly isTTY?: boolean }) {
  const clock = fakeClock();
  const printed = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    isTTY: options.isTTY ?? true,
    columns: 60,
    write: (text: string) => {
      printed[name] += text;
    },
  });
  const output = createOutput({
    json: options.json ?? false,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    clock,
  });
  return { clock, printed, output };
}

const totalBytes = 1000 * 1024 * 1024;

test('on a terminal one line is drawn over itself, at most ten times a second, and one stays', async () => {
  const { clock, printed, output } = terminal({});
  const progress = output.progress('backup');
  for (let step = 0; step <= 1000; step += 1) {
    progress.update({ doneBytes: (totalBytes / 1000) * step, totalBytes });
    await clock.advance(10);
  }
  progress[Symbol.dispose]();
  const drawn = printed.stderr.split('\r\u001b[K');
  assert.ok(drawn.length <= 102, `drawn ${drawn.length} times in 10 s`);
  assert.ok(drawn.every((line) => line.length < 60 + 1));
  assert.match(drawn[50]!, /^backup {3}[45]\d\.\d % {2}[45]\d\d\.\d\d MiB of 1000\.00 MiB {2}100\.00 MiB\/s/);
  assert.match(drawn.at(-1)!, /^backup {2}100\.0 % {2}1000\.00 MiB in 10\.0 s .*\n$/);
  assert.equal(printed.stdout, '');
});

test('the time left follows the rate of the last seconds', async () => {
  const { clock, printed, output } = terminal({ json: true });
  const progress = output.progress('backup');
  progress.update({ doneBytes: 0, totalBytes });
  for (let second = 1; second <= 20; second += 1) {
    await clock.advance(1000);
    // Half the disk is a hole that passes at once.
    progress.update({ doneBytes: totalBytes / 2 + second * 1024 * 1024, totalBytes });
  }
  const last = JSON.parse(printed.stdout.trimEnd().split('\n').at(-1)!);
  assert.equal(last.bytes_per_second, 1024 * 1024);
  assert.equal(last.remaining_ms, 480_000);
});

test('with --json progress is objects on stdout, at most one a second', async () => {
  const { clock, printed, output } = terminal({ json: true });
  const progress = output.progress('backup');
  for (let step = 0; step < 50; step += 1) {
    progress.update({ doneBytes: step, totalBytes }, { read_bytes: step });
    await clock.advance(100);
  }
  progress[Symbol.dispose]();
  const objects = printed.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(objects.length, 5);
  assert.deepEqual(objects[1], {
    type: 'progress',
    step: 'backup',
    done_bytes: 10,
    total_bytes: totalBytes,
    percent: 0,
    bytes_per_second: 10,
    remaining_ms: objects[1].remaining_ms,
    read_bytes: 10,
  });
  assert.equal(printed.stderr, '');
});

test('nobody is told anything where nobody watches', () => {
  const { printed, output } = terminal({ isTTY: false });
  const progress = output.progress('backup');
  progress.update({ doneBytes: 1, totalBytes });
  progress[Symbol.dispose]();
  assert.deepEqual(printed, { stdout: '', stderr: '' });
});

test('a warning stands above the progress line, which is there again afterwards', () => {
  const { printed, output } = terminal({});
  const progress = output.progress('backup');
  progress.update({ doneBytes: 0, totalBytes });
  output.warn('odd');
  const [before, after] = printed.stderr.split('\r\u001b[K');
  assert.match(before!, /^backup/);
  assert.equal(after, `holdfast: warning: odd\n${before}`);
});

test('hundred percent is said only when all is done, and an empty disk is done', () => {
  const { printed, output } = terminal({});
  output.progress('a').update({ doneBytes: totalBytes - 1, totalBytes });
  assert.match(printed.stderr, /99\.9 %/);
  output.progress('b').update({ doneBytes: 0, totalBytes: 0 });
  assert.match(printed.stderr, /100\.0 %/);
});

/** Backups that are cut off: by the user, by the system, by another backup. What is listed is whole; the next run works. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { listPoints, makeHouse } from './testing/house-fixture.ts';
import { holdfast, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk, processesWithOpen, runTool } from './testing/test-disks.ts';

const diskBytes = 96 * MiB;

/** With a disk that a backup takes a while to read. */
async function houseWithDisk() {
  const house = await makeHouse();
  const { at, storage } = house;
  const disk = await makeDisk({ path: at('disk.raw'), sizeBytes: diskBytes, dataBytes: diskBytes });
  const backupOf = (...words: readonly string[]) => ['backup', ...storage, '--resource', 'volumes/a', ...words, disk];
  return { ...house, disk, backupOf };
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} in the middle of a backup: exit code 130, nothing listed, the next run works`, async () => {
    await using made = await houseWithDisk();
    const { at, storage, disk, backupOf } = made;
    // 96 MiB at 16 MiB/s: it is cut off long before its end.
    const run = startHoldfast([...backupOf('--limit-rate', '16M'), '--json']);
    await run.object('progress');
    const startedMs = performance.now();
    run.child.kill(signal);
    const { code, objects, stderr } = await run.ended;
    assert.ok(performance.now() - startedMs < 3000, 'it ends soon');
    assert.equal(code, 130, stderr);
    const { type, code: problem } = objects.at(-1) ?? {};
    assert.deepEqual({ type, problem }, { type: 'problem', problem: 'interrupted' });
    assert.doesNotMatch(stderr, /AbortError/);

    const check = await holdfast(['repo', 'check', ...storage]);
    assert.deepEqual([check['points'], check['sessions']], [0, []]);
    const { point } = await holdfast(backupOf());
    await holdfast(['restore', ...storage, String(point), '--to', at('b.raw')]);
    assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
  });
}

test('Ctrl-C, which reaches the processes of QEMU too, is an interrupt and leaves none of them', async () => {
  await using made = await houseWithDisk();
  const { at, storage, disk } = made;
  await runTool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', disk, at('disk.qcow2'));
  const words = ['backup', ...storage, '--resource', 'volumes/q', '--limit-rate', '16M', '--json', at('disk.qcow2')];
  const run = startHoldfast(words, {}, { ownGroup: true });
  await run.object('progress');
  assert.equal((await processesWithOpen(at('disk.qcow2'))).length, 1);
  process.kill(-run.child.pid!, 'SIGINT');
  const { code, objects, stderr } = await run.ended;
  assert.deepEqual([code, objects.at(-1)?.['code']], [130, 'interrupted'], stderr);
  assert.deepEqual(await processesWithOpen(at('disk.qcow2')), []);
  await holdfast(['backup', ...storage, '--resource', 'volumes/q', at('disk.qcow2')]);
});

test('an interrupt in the middle of a restore leaves no file that could pass for the disk', async () => {
  await using made = await houseWithDisk();
  const { at, storage, backupOf } = made;
  const { point } = await holdfast(backupOf());
  const run = startHoldfast([
    'restore',
    ...storage,
    String(point),
    '--to',
    at('b.raw'),
    '--limit-rate',
    '16M',
    '--json',
  ]);
  await run.object('progress');
  run.child.kill('SIGINT');
  assert.equal((await run.ended).code, 130);
  assert.equal(existsSync(at('b.raw')), false);
});

test('a restore in place that was interrupted goes on where it was', async () => {
  await using made = await houseWithDisk();
  const { at, storage, disk, backupOf } = made;
  const { point } = await holdfast(backupOf());
  await makeDisk({ path: at('b.raw'), sizeBytes: diskBytes, dataBytes: 0 });
  const words = ['restore', ...storage, String(point), '--to', at('b.raw'), '--force'];
  const run = startHoldfast([...words, '--limit-rate', '12M', '--json']);
  await run.object('progress');
  await new Promise((wake) => setTimeout(wake, 1500));
  run.child.kill('SIGINT');
  assert.equal((await run.ended).code, 130);
  const again = await holdfast(words);
  const [outcome] = again['disks'] as { readonly kept_bytes: number }[];
  assert.ok(outcome && outcome.kept_bytes > 0);
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
});

test('a second interrupt ends it at once', async () => {
  await using made = await houseWithDisk();
  const run = startHoldfast([...made.backupOf('--limit-rate', '1M'), '--json']);
  await run.object('progress');
  run.child.kill('SIGINT');
  run.child.kill('SIGINT');
  assert.equal((await run.ended).code, 130);
});

test('two backups of one resource at once: one of them is refused, and says who is at work', async () => {
  await using made = await houseWithDisk();
  const { storage, backupOf, disk } = made;
  const first = startHoldfast([...backupOf('--limit-rate', '24M'), '--json']);
  await first.object('progress');
  const second = await runHoldfast([...backupOf(), '--json']);
  const problem = second.objects.at(-1);
  assert.deepEqual([second.code, problem?.['code']], [1, 'resource_busy']);
  assert.match(String(problem?.['detail']), new RegExp(`process \\d+ .*since .*ses_[0-9a-f]{32}`));
  const other = await holdfast(['backup', ...storage, '--resource', 'volumes/other', disk]);
  assert.equal((await first.ended).code, 0);
  assert.deepEqual(
    new Set((await listPoints(storage)).map(({ point }) => point)),
    new Set([other['point'], (await first.ended).objects.at(-1)?.['point']]),
  );
  await holdfast(backupOf());
});

test('two backups of one resource that start together: at least one is done, none is half', async () => {
  await using made = await houseWithDisk();
  const { storage, backupOf } = made;
  const runs = await Promise.all([runHoldfast([...backupOf(), '--json']), runHoldfast([...backupOf(), '--json'])]);
  const done = runs.filter(({ code }) => code === 0).map(({ objects }) => objects.at(-1)?.['point']);
  assert.ok(done.length >= 1, runs.map(({ stderr }) => stderr).join());
  for (const { code, objects } of runs) if (code !== 0) assert.equal(objects.at(-1)?.['code'], 'resource_busy');
  assert.deepEqual((await listPoints(storage)).map(({ point }) => point).toSorted(), done.map(String).toSorted());
});

test('a session fenced while it runs commits nothing', async () => {
  await using made = await houseWithDisk();
  const { storage, backupOf } = made;
  const first = startHoldfast([...backupOf('--limit-rate', '24M'), '--json']);
  await first.object('progress');
  const busy = await runHoldfast([...backupOf(), '--json']);
  const session = /ses_[0-9a-f]{32}/.exec(String(busy.objects.at(-1)?.['detail']))?.[0];
  assert.ok(session !== undefined, busy.stderr);
  const second = await holdfast(backupOf('--fence', session));
  const fenced = await first.ended;
  assert.deepEqual([fenced.code, fenced.objects.at(-1)?.['code']], [1, 'session_fenced']);
  assert.deepEqual(
    (await listPoints(storage)).map(({ point }) => point),
    [second['point']],
  );
});

test('kill -9 at any moment: every listed point restores to what the disk was, and the next run works', async (t) => {
  await using made = await houseWithDisk();
  const { at, storage, disk, backupOf } = made;
  const states = new Map([['first', await hashOf(disk)]]);
  const startedMs = performance.now();
  await holdfast(backupOf('--label', 'first'));
  const wholeMs = performance.now() - startedMs;
  let cutOff = 0;
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const offset = Math.floor(Math.random() * (diskBytes - 4 * MiB));
    await patchDisk(disk, { offset, bytes: randomBytes(4 * MiB) });
    const label = `attempt-${attempt}`;
    states.set(label, await hashOf(disk));
    const run = startHoldfast([...backupOf('--label', label), '--json']);
    const timer = setTimeout(() => run.child.kill('SIGKILL'), wholeMs * (0.1 + Math.random()));
    const { code } = await run.ended;
    clearTimeout(timer);
    if (code === null) cutOff += 1;
    else assert.equal(code, 0);
  }
  const { point } = await holdfast(backupOf('--label', 'last'));
  states.set('last', await hashOf(disk));
  const points = await listPoints(storage);
  assert.equal(points.at(-1)?.point, point);
  t.diagnostic(`${cutOff} of 10 were cut off, ${points.length} points listed`);
  for (const { point: id, label } of points) {
    await holdfast(['restore', ...storage, id, '--to', at('b.raw'), '--force']);
    assert.equal(await hashOf(at('b.raw')), states.get(String(label)), String(label));
  }
  await holdfast(['verify', ...storage]);
});

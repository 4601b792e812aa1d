import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { type Clock, GiB, hasCode, MiB, systemClock } from '@holdfast/base';
import { openElsewhere, qemuIo, run, scratchDirectory } from '../testing/scratch-directory.ts';
import {
  cloneSnapshot,
  createVolumeSnapshot,
  deleteVolumeSnapshot,
  readQcow2Snapshots,
  revertVolume,
} from './index.ts';

const clock: Clock = { ...systemClock, nowMs: () => Date.UTC(2026, 10, 21, 9, 55) };

function makeImage(path: string, sizeBytes = 64 * MiB): void {
  run('qemu-img', 'create', '-q', '-f', 'qcow2', path, String(sizeBytes));
}

/** The disk of the image as raw bytes. */
async function content(image: string, scratch: { path(name: string): string }): Promise<Buffer> {
  const raw = scratch.path('content.raw');
  run('qemu-img', 'convert', '-O', 'raw', image, raw);
  return await readFile(raw);
}

test('a disk goes back to a snapshot, and forward again to what it was', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('a, b=c.qcow2');
  makeImage(path);
  qemuIo('qcow2', path, 'write -P 1 0 2M');
  const first = await content(path, scratch);
  const taken = await createVolumeSnapshot({ path, name: 'first' });
  assert.equal(taken.name, 'first');
  assert.ok(Math.abs(taken.takenAtMs - Date.now()) < 60_000);
  qemuIo('qcow2', path, 'write -P 2 1M 2M');
  const second = await content(path, scratch);

  const reverted = await revertVolume({ path, snapshot: 'first', keepPresent: true, clock });
  assert.equal(reverted.safetySnapshot, 'before-revert-20261121T095500.000Z');
  assert.ok((await content(path, scratch)).equals(first));
  await revertVolume({ path, snapshot: 'before-revert-20261121T095500.000Z', keepPresent: false, clock });
  assert.ok((await content(path, scratch)).equals(second));

  await deleteVolumeSnapshot({ path, snapshot: 'before-revert-20261121T095500.000Z' });
  await deleteVolumeSnapshot({ path, snapshot: taken.id });
  assert.deepEqual((await readQcow2Snapshots({ path })).snapshots, []);
  run('qemu-img', 'check', '-q', path);
});

test('a disk that was resized since gets its size back', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('a.qcow2');
  makeImage(path);
  await createVolumeSnapshot({ path, name: 's' });
  run('qemu-img', 'resize', '-q', path, '96M');
  await revertVolume({ path, snapshot: 's', keepPresent: true, clock });
  assert.equal((await readQcow2Snapshots({ path })).sizeBytes, 64 * MiB);
});

test('dirty bitmaps go before a revert, and only then', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('a.qcow2');
  makeImage(path);
  await createVolumeSnapshot({ path, name: 's' });
  for (const name of ['one', 'two']) run('qemu-img', 'bitmap', '--add', path, name);
  await createVolumeSnapshot({ path, name: 'later' });
  await deleteVolumeSnapshot({ path, snapshot: 'later' });
  assert.equal((await readQcow2Snapshots({ path })).bitmaps, 2);
  await assert.rejects(revertVolume({ path, snapshot: 'none', keepPresent: true, clock }), (error) =>
    hasCode(error, 'snapshot_not_found'),
  );
  assert.equal((await readQcow2Snapshots({ path })).bitmaps, 2);
  const { removedBitmaps } = await revertVolume({ path, snapshot: 's', keepPresent: true, clock });
  assert.deepEqual(removedBitmaps.toSorted(), ['one', 'two']);
  assert.equal((await readQcow2Snapshots({ path })).bitmaps, 0);
});

test('an image in use is listed and cloned, and nothing else', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('a.qcow2');
  makeImage(path);
  qemuIo('qcow2', path, 'write -P 1 0 2M');
  await createVolumeSnapshot({ path, name: 's' });
  const before = await content(path, scratch);
  run('qemu-img', 'bitmap', '--add', path, 'b');
  await using _open = await openElsewhere(path);
  for (const attempt of [
    () => createVolumeSnapshot({ path, name: 'other' }),
    () => deleteVolumeSnapshot({ path, snapshot: 's' }),
    () => revertVolume({ path, snapshot: 's', keepPresent: true, clock }),
    () => revertVolume({ path, snapshot: 's', keepPresent: false, clock }),
  ]) {
    await assert.rejects(attempt, (error) => hasCode(error, 'volume_busy') && /vm snapshot/.test(error.remedy));
  }
  assert.deepEqual(
    (await readQcow2Snapshots({ path })).snapshots.map(({ name }) => name),
    ['s'],
  );
  await cloneSnapshot({ path, snapshot: 's', target: { path: scratch.path('clone'), format: 'raw' } });
  assert.ok((await readFile(scratch.path('clone'))).equals(before));
});

test('a clone is sparse, whole and alone, whatever its format; a backing file is in it', async () => {
  await using scratch = await scratchDirectory();
  const [base, path] = [scratch.path('base.qcow2'), scratch.path('top.qcow2')];
  makeImage(base, GiB);
  qemuIo('qcow2', base, 'write -P 1 0 2M');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', path);
  qemuIo('qcow2', path, 'write -P 2 900M 1M');
  const expected = scratch.path('expected.raw');
  run('qemu-img', 'convert', '-O', 'raw', path, expected);
  await createVolumeSnapshot({ path, name: 's' });
  qemuIo('qcow2', path, 'write -P 3 0 4M', 'discard 900M 1M');
  run('qemu-img', 'resize', '-q', path, '2G');
  const reports: number[] = [];
  for (const format of ['raw', 'qcow2'] as const) {
    const target = { path: scratch.path(`clone.${format}`), format };
    const onProgress = ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }): void => {
      assert.equal(totalBytes, GiB);
      reports.push(doneBytes);
    };
    await cloneSnapshot({ path, snapshot: 's', target, onProgress });
    run('qemu-img', 'compare', '-q', '-f', format, '-F', 'raw', target.path, expected);
    assert.match(run('qemu-img', 'info', '-f', format, target.path), /virtual size: 1 GiB/);
    const { blocks, mode } = await stat(target.path);
    assert.ok(blocks * 512 < 8 * MiB, `${format}: ${blocks} blocks`);
    assert.equal(mode & 0o777, 0o600);
  }
  assert.equal(reports.at(-1), GiB);
  assert.deepEqual(
    (await readdir(dirname(path))).filter((name) => name.includes('unfinished')),
    [],
  );
});

test('a clone takes no place that is taken, and leaves nothing when it is given up', async () => {
  await using scratch = await scratchDirectory();
  const [path, taken] = [scratch.path('a.qcow2'), scratch.path('taken')];
  makeImage(path);
  qemuIo('qcow2', path, 'write -P 1 0 32M');
  await createVolumeSnapshot({ path, name: 's' });
  await writeFile(taken, 'mine');
  await assert.rejects(cloneSnapshot({ path, snapshot: 's', target: { path: taken, format: 'raw' } }), (error) =>
    hasCode(error, 'target_exists'),
  );
  assert.equal(await readFile(taken, 'utf8'), 'mine');
  await assert.rejects(
    cloneSnapshot({ path, snapshot: 's', target: { path: scratch.path('none/x'), format: 'raw' } }),
    (error) => hasCode(error, 'target_unwritable'),
  );
  const stop = new AbortController();
  const stopped = cloneSnapshot({
    path,
    snapshot: 's',
    target: { path: scratch.path('stopped'), format: 'raw' },
    onProgress: () => stop.abort(new Error('enough')),
    signal: stop.signal,
  });
  await assert.rejects(stopped, /enough/);
  assert.deepEqual((await readdir(dirname(path))).toSorted(), ['a.qcow2', 'taken']);
});

test('a snapshot that was deleted while it was read makes no clone', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('a.qcow2');
  makeImage(path);
  qemuIo('qcow2', path, 'write -P 1 0 8M');
  await createVolumeSnapshot({ path, name: 's' });
  const target = { path: scratch.path('clone'), format: 'raw' } as const;
  let deleted: Promise<unknown> | undefined;
  const onProgress = (): void => void (deleted ??= Promise.resolve(run('qemu-img', 'snapshot', '-d', 's', path)));
  await assert.rejects(cloneSnapshot({ path, snapshot: 's', target, onProgress }), (error) =>
    hasCode(error, 'source_changed'),
  );
  await deleted;
  await assert.rejects(stat(target.path));
});

test('of a disk that has shrunk since, a clone would lose its end: refused with the way out', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('a.qcow2');
  makeImage(path);
  qemuIo('qcow2', path, 'write -P 1 60M 4M');
  await createVolumeSnapshot({ path, name: 's' });
  const before = await content(path, scratch);
  run('qemu-img', 'resize', '-q', '--shrink', path, '32M');
  const target = { path: scratch.path('clone'), format: 'raw' } as const;
  await assert.rejects(
    cloneSnapshot({ path, snapshot: 's', target }),
    (error) => hasCode(error, 'image_unsupported') && error.remedy.includes(String(64 * MiB)),
  );
  run('qemu-img', 'resize', '-q', path, '64M');
  await cloneSnapshot({ path, snapshot: 's', target });
  assert.ok((await readFile(target.path)).equals(before));
});

test('raw disks and snapshots that are not there are refused with what to do', async () => {
  await using scratch = await scratchDirectory();
  const [raw, path] = [scratch.path('a.raw'), scratch.path('a.qcow2')];
  run('qemu-img', 'create', '-q', '-f', 'raw', raw, '1M');
  makeImage(path);
  const target = { path: scratch.path('clone'), format: 'raw' } as const;
  for (const attempt of [
    () => createVolumeSnapshot({ path: raw, name: 's' }),
    () => deleteVolumeSnapshot({ path: raw, snapshot: 's' }),
    () => revertVolume({ path: raw, snapshot: 's', keepPresent: true, clock }),
    () => cloneSnapshot({ path: raw, snapshot: 's', target }),
  ]) {
    await assert.rejects(attempt, (error) => hasCode(error, 'image_unsupported') && /-O qcow2/.test(error.remedy));
  }
  for (const attempt of [
    () => deleteVolumeSnapshot({ path, snapshot: 's' }),
    () => revertVolume({ path, snapshot: 's', keepPresent: true, clock }),
    () => cloneSnapshot({ path, snapshot: 's', target }),
  ]) {
    await assert.rejects(attempt, (error) => hasCode(error, 'snapshot_not_found'));
  }
  await createVolumeSnapshot({ path, name: 's' });
  await assert.rejects(createVolumeSnapshot({ path, name: 's' }), (error) => hasCode(error, 'snapshot_exists'));
  await assert.rejects(createVolumeSnapshot({ path, name: '7' }), (error) => hasCode(error, 'snapshot_name_invalid'));
});

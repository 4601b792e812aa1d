import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type BlockTarget, GiB, hasCode, MiB } from '@holdfast/base';
import { parseBlockLocation } from './block-location.ts';
import { openBlockTarget } from './open-block-target.ts';
import { openBlockSource } from './open-block-source.ts';
import { qemuIo, readThroughExtents, run, scratchDirectory } from './testing/scratch-directory.ts';

const sizeBytes = 24 * MiB + 3 * 512;

/** Writes here and there, unaligned too, and says what the disk must hold. */
async function scribble(target: BlockTarget, before: Buffer): Promise<Buffer> {
  const expected = Buffer.from(before);
  for (const [offset, length] of [
    [0, MiB],
    [3 * MiB + 7, 2 * MiB + 1],
    [sizeBytes - 700, 700],
  ] as const) {
    const from = randomBytes(length);
    from.copy(expected, offset);
    await target.write({ from, offset });
  }
  await target.zero({ offset: 8 * MiB, length: 4 * MiB });
  expected.fill(0, 8 * MiB, 12 * MiB);
  await target.zero({ offset: 4 * MiB + 1, length: 1000 });
  expected.fill(0, 4 * MiB + 1, 4 * MiB + 1001);
  await target.flush();
  return expected;
}

async function diskOf(path: string): Promise<Buffer> {
  await using source = await openBlockSource({ location: parseBlockLocation(path) });
  return await readThroughExtents(source);
}

test('a new qcow2 image holds what was written and nothing more', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('new.qcow2');
  let expected: Buffer;
  {
    const location = parseBlockLocation(path);
    await using target = await openBlockTarget({ location, format: 'qcow2', sizeBytes, overwrite: false });
    assert.equal(target.fresh, true);
    assert.equal(target.sizeBytes, sizeBytes);
    assert.equal((await stat(path)).mode & 0o777, 0o200, 'marked as unfinished');
    expected = await scribble(target, Buffer.alloc(sizeBytes));
  }
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  run('qemu-img', 'check', '-q', path);
  assert.ok((await diskOf(path)).equals(expected));
  assert.ok((await stat(path)).size < 6 * MiB);
});

test('from its first moment a new qcow2 image is marked, so that a crash never leaves one that passes for the disk', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can keep the mark while QEMU opens the image');
  await using scratch = await scratchDirectory();
  const path = scratch.path('new.qcow2');
  const location = parseBlockLocation(path);
  const opening = openBlockTarget({ location, format: 'qcow2', sizeBytes, overwrite: false });
  let isOpen = false;
  const modes = new Set<number>();
  const settled = opening.finally(() => (isOpen = true));
  while (!isOpen) {
    const found = await stat(path).catch(() => undefined);
    if (found) modes.add(found.mode & 0o777);
  }
  await using _target = await settled;
  assert.deepEqual([...modes], [0o200]);
});

test('a qcow2 image that a crash left marked is taken up again, and is marked until it is whole', async () => {
  await using scratch = await scratchDirectory();
  const location = parseBlockLocation(scratch.path('crashed.qcow2'));
  const path = scratch.path('crashed.qcow2');
  const modeOf = async () => (await stat(path)).mode & 0o777;
  for (const content of ['image', 'damaged image', 'nothing'] as const) {
    await rm(path, { force: true });
    if (content === 'nothing') await writeFile(path, '');
    else run('qemu-img', 'create', '-q', '-f', 'qcow2', path, String(sizeBytes));
    if (content === 'damaged image') await loseRefcounts(path);
    await chmod(path, 0o200);
    const options = { location, format: 'qcow2', sizeBytes, overwrite: true } as const;
    {
      await using target = await openBlockTarget(options);
      assert.equal(target.fresh, content !== 'image');
      assert.equal(await modeOf(), 0o200);
    }
    assert.equal(await modeOf(), 0o200, 'still half');
    let expected: Buffer;
    {
      await using target = await openBlockTarget(options);
      expected = await scribble(target, Buffer.alloc(sizeBytes));
    }
    assert.equal(await modeOf(), 0o600, 'whole');
    assert.ok((await diskOf(path)).equals(expected));
  }
});

/** What clusters are in use is not known any more: writes would overwrite each other. */
async function loseRefcounts(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 48);
  await file.write(Buffer.alloc(8), 0, 8, Number(buffer.readBigUInt64BE()));
}

test('a new qcow2 image that was never flushed is gone afterwards', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('half.qcow2');
  {
    const location = parseBlockLocation(path);
    await using target = await openBlockTarget({ location, format: 'qcow2', sizeBytes, overwrite: false });
    await target.write({ from: Buffer.alloc(MiB, 1), offset: 0 });
  }
  await assert.rejects(stat(path), { code: 'ENOENT' });
});

test('a qcow2 image of the same size is overwritten in place and keeps its bitmaps and snapshots', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('old.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', path, String(sizeBytes));
  qemuIo('qcow2', path, 'write -P 5 0 24M');
  run('qemu-img', 'bitmap', '--add', path, 'since');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', scratch.path('unused.qcow2'), '1M');
  let expected: Buffer;
  {
    const location = parseBlockLocation(path);
    await assert.rejects(openBlockTarget({ location, format: 'qcow2', sizeBytes, overwrite: false }), (error) =>
      hasCode(error, 'target_exists'),
    );
    await using target = await openBlockTarget({ location, format: 'qcow2', sizeBytes, overwrite: true });
    assert.equal(target.fresh, false);
    const before = Buffer.alloc(sizeBytes);
    await target.read!({ into: before, offset: 0 });
    assert.ok(before.subarray(0, 24 * MiB).equals(Buffer.alloc(24 * MiB, 5)));
    expected = await scribble(target, before);
  }
  run('qemu-img', 'check', '-q', path);
  await using source = await openBlockSource({ location: parseBlockLocation(path), bitmap: 'since' });
  assert.ok((await readThroughExtents(source)).equals(expected));
  assert.ok((await Array.fromAsync(source.changed!())).length >= 3, 'the bitmap saw the writes');
});

test('anything else becomes a new qcow2 image when it may be overwritten', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('other');
  for (const prepare of [
    () => writeFile(path, randomBytes(MiB)),
    async () => void run('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1G'),
  ]) {
    await prepare();
    let expected: Buffer;
    {
      const location = parseBlockLocation(path);
      await using target = await openBlockTarget({ location, format: 'qcow2', sizeBytes, overwrite: true });
      assert.equal(target.fresh, true);
      expected = await scribble(target, Buffer.alloc(sizeBytes));
    }
    assert.ok((await diskOf(path)).equals(expected));
  }
});

test('a disk that is no whole number of sectors gets the next larger qcow2 image', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('odd.qcow2');
  const location = parseBlockLocation(path);
  await using target = await openBlockTarget({ location, format: 'qcow2', sizeBytes: 1000, overwrite: false });
  assert.equal(target.sizeBytes, 1024);
  await target.write({ from: Buffer.alloc(1000, 1), offset: 0 });
  await target.flush();
});

test('a target that a running program uses is left alone', async () => {
  await using scratch = await scratchDirectory();
  for (const format of ['raw', 'qcow2'] as const) {
    const path = scratch.path(`used.${format}`);
    run('qemu-img', 'create', '-q', '-f', format, path, '8M');
    const content = await readFile(path);
    const location = parseBlockLocation(path);
    const options = { location, format, sizeBytes: 4 * MiB, overwrite: true };
    await using first = await openBlockTarget({ ...options, sizeBytes: 8 * MiB });
    await assert.rejects(openBlockTarget(options), (error) => hasCode(error, 'target_unwritable'), format);
    await first[Symbol.asyncDispose]();
    assert.equal((await readFile(path)).length, content.length);
  }
});

test('a directory that is missing or full is told apart', async () => {
  await using scratch = await scratchDirectory();
  const location = parseBlockLocation(scratch.path('no/such/dir.qcow2'));
  await assert.rejects(openBlockTarget({ location, format: 'qcow2', sizeBytes: GiB, overwrite: false }), (error) =>
    hasCode(error, 'target_unwritable'),
  );
});

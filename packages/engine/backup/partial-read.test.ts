/** Of a chunk that changed in part only the changed 64 KiB are read; what comes out is the same point. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Extent } from '@holdfast/base';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { assertRestores, backupOf, newRepository } from '../repository-fixture.ts';
import { diskOfNoise, entriesOf, formats, kindsOf, nameOf, touch } from './patched-chunks-fixture.ts';

/** The clean sample reads this many chunks (clean-sample.ts); the disks here have exactly as many clean ones. */
const cleanChunks = 16;

for (const format of formats) {
  const { chunkBytes } = format;
  const count = chunkBytes / subChunkBytes;

  test(`only changed sub-chunks are read, over whole chunks and over patches (${nameOf(format)})`, async () => {
    const { repository } = await newRepository(format);
    const disk = diskOfNoise((cleanChunks + 1) * chunkBytes);
    const { point: first } = await backupOf(repository, { vda: disk });
    const original = disk.clone();
    let parent = first;
    // The limit of a patch counts what differs from the base: the last one is past it, so its chunk is read whole.
    const steps = Array.from({ length: count / 4 + 1 }, (_, index) => index * 2);
    for (const [done, subChunk] of steps.entries()) {
      const changed = { vda: touch(disk, [subChunk], 2 + done) };
      const { point } = await backupOf(repository, { vda: disk }, { parent, changed });
      const isWhole = done === count / 4;
      assert.equal((await kindsOf(repository, point))[0], isWhole ? 'data' : 'split');
      assert.equal(
        point.manifest.disks[0]!.counters.read_bytes,
        cleanChunks * chunkBytes + (isWhole ? chunkBytes : subChunkBytes),
      );
      await assertRestores(repository, point, { vda: disk });
      parent = point;
    }
    const everything: Extent[] = steps.map((index) => ({ offset: index * subChunkBytes, length: subChunkBytes }));
    const back = await backupOf(repository, { vda: original }, { parent: first, changed: { vda: everything } });
    assert.deepEqual(await entriesOf(repository, back.point), await entriesOf(repository, first));
  });
}

test('of a chunk that was zero only what was written is read', async () => {
  const { repository } = await newRepository({ chunkBytes: 4 * subChunkBytes });
  const chunkBytes = 4 * subChunkBytes;
  const disk = diskOfNoise((cleanChunks + 2) * chunkBytes - 100);
  disk.zero({ offset: cleanChunks * chunkBytes, length: 2 * chunkBytes - 100 });
  const { point: parent } = await backupOf(repository, { vda: disk });
  const first = 4 * cleanChunks;
  const changed = { vda: touch(disk, [first + 1, first + 2, first + 7], 5) };
  const written = await backupOf(repository, { vda: disk }, { parent, changed });
  const { read_bytes } = written.point.manifest.disks[0]!.counters;
  assert.equal(read_bytes, cleanChunks * chunkBytes + 3 * subChunkBytes - 100);
  await assertRestores(repository, written.point, { vda: disk });
  const untouched = await backupOf(repository, { vda: disk }, { resource: 'volumes/other' });
  assert.deepEqual(await kindsOf(repository, untouched.point), await kindsOf(repository, written.point));
  disk.zero({ offset: cleanChunks * chunkBytes, length: 2 * chunkBytes - 100 });
  const back = await backupOf(repository, { vda: disk }, { parent, changed });
  assert.deepEqual(await entriesOf(repository, back.point), await entriesOf(repository, parent));
});

test('the id of a chunk that was read in part is that of the whole chunk', async () => {
  const { repository } = await newRepository({ chunkBytes: 4 * subChunkBytes });
  const disk = diskOfNoise(cleanChunks * 4 * subChunkBytes);
  const { point: parent } = await backupOf(repository, { vda: disk });
  const inPart = await backupOf(repository, { vda: disk }, { parent, changed: { vda: touch(disk, [2], 9) } });
  const whole = await backupOf(repository, { vda: disk }, { resource: 'volumes/other' });
  const idsOf = async (point: typeof parent) =>
    (await entriesOf(repository, point)).map((entry) => ('id' in entry ? entry.id.toString('hex') : entry.kind));
  assert.deepEqual(await idsOf(inPart.point), await idsOf(whole.point));
});

test('a patch that is gone is not built on', async () => {
  const { store, repository } = await newRepository({ chunkBytes: 4 * subChunkBytes });
  const disk = diskOfNoise(2 * 4 * subChunkBytes);
  const { point: first } = await backupOf(repository, { vda: disk });
  const { point: second } = await backupOf(
    repository,
    { vda: disk },
    { parent: first, changed: { vda: touch(disk, [0], 3) } },
  );
  const patch = (await entriesOf(repository, second))[0];
  assert.equal(patch?.kind, 'split');
  const key = [...store.objects().keys()].find((name) => patch.kind === 'split' && name.endsWith(patch.patch.packId))!;
  await store.delete(key);
  const { point } = await backupOf(
    repository,
    { vda: disk },
    { parent: second, changed: { vda: touch(disk, [1], 4) } },
  );
  await assertRestores(repository, point, { vda: disk });
});

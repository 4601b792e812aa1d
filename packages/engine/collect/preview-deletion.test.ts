import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk, noise } from '@holdfast/testing';
import { backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';
import { collectNow, collectStory, removePoint } from './collect-fixture.ts';
import { previewDeletion } from './preview-deletion.ts';
import { choosePoints } from './trash.ts';

test('what a preview promises is what a collection frees, for any choice of points', async () => {
  for (const chosen of [[0], [1], [2], [0, 1], [1, 2], [0, 1, 2]]) {
    const { store, repository, kept } = await collectStory();
    const words = chosen.map((index) => kept[index]!.point.manifest.id);
    const points = await choosePoints({ repository, words, state: 'available' });
    const before = [...store.objects().keys()];
    const { freed } = await previewDeletion({ repository, points });
    assert.deepEqual([...store.objects().keys()], before);
    for (const index of chosen) await removePoint(repository, kept[index]!.point);
    assert.deepEqual((await collectNow(repository)).deleted, freed);
  }
});

test('chunks that only the deleted point used, in packs that others need, are told apart', async () => {
  const { repository } = await newRepository();
  const disk = new MemoryDisk(4 * smallChunkBytes);
  disk.write(noise({ seed: 1, length: 4 * smallChunkBytes }), 0);
  const { point } = await backupOf(repository, { vda: disk });
  disk.write(noise({ seed: 2, length: smallChunkBytes }), 0);
  await backupOf(repository, { vda: disk }, { parent: point });
  const points = await choosePoints({ repository, words: [point.manifest.id], state: 'available' });
  const { freed, dead } = await previewDeletion({ repository, points });
  assert.equal(freed.packs, 2, 'its map, and its roots');
  assert.equal(dead.chunks, 1);
  assert.ok(dead.bytes > smallChunkBytes && dead.bytes < smallChunkBytes + 200);
});

/** Repositories with sparse packs. */
import assert from 'node:assert/strict';
import { MemoryDisk, type MemoryStore, noise } from '@holdfast/testing';
import type { RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';
import { collect } from './collect.ts';

export const chunk = smallChunkBytes;

export type Kept = { readonly point: RestorePoint; readonly disk: MemoryDisk };

export type SparseStory = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly disk: MemoryDisk;
  readonly kept: readonly Kept[];
};

/**
 * Two points whose older content is mostly of points that are gone: the first one, and every second one after it. Five
 * chunks a pack; encrypted, so that nothing could be copied that needs a key.
 */
export async function sparseStory(options: { readonly encrypted?: boolean } = {}): Promise<SparseStory> {
  const { encrypted = true } = options;
  const { store, repository } = await newRepository({ encrypted, packBytes: 5 * chunk + 8192 });
  const disk = new MemoryDisk(12 * chunk + 700);
  disk.write(noise({ seed: 1, length: 12 * chunk }), 0);
  let { point: parent } = await backupOf(repository, { vda: disk });
  const all: Kept[] = [{ point: parent, disk: disk.clone() }];
  for (let round = 1; round <= 4; round += 1) {
    const extent = { offset: round * chunk, length: 5 * chunk };
    disk.write(noise({ seed: 10 + round, length: extent.length }), extent.offset);
    parent = (await backupOf(repository, { vda: disk }, { parent, changed: { vda: [extent] } })).point;
    all.push({ point: parent, disk: disk.clone() });
  }
  const kept = all.filter((_, index) => index === 2 || index === 4);
  for (const { point } of all) if (!kept.some((other) => other.point === point)) await store.delete(point.key);
  return { store, repository, disk, kept };
}

export async function assertKept(repository: Repository, kept: readonly Kept[]): Promise<void> {
  for (const { point, disk } of kept) await assertRestores(repository, point, { vda: disk });
}

/** Collects; answers how many packs went. */
export async function removeDeadPacks(repository: Repository): Promise<number> {
  const { deleted, openEpochs } = await collect({ repository });
  assert.deepEqual(openEpochs, []);
  return deleted.packs;
}

export function bytesOf(store: MemoryStore): number {
  let bytes = 0;
  for (const [key, content] of store.objects()) if (/^d\/default\/(data|meta)\//.test(key)) bytes += content.length;
  return bytes;
}

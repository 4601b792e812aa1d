/** Stories of collection: points of one disk that share most of their packs, and what must hold whatever happened. */
import assert from 'node:assert/strict';
import { type FakeClock, fakeClock, MemoryDisk, type MemoryStore, noise } from '@holdfast/testing';
import { listPoints, type RestorePoint } from '../manifest/points.ts';
import { collectionPrefix, fencesPrefix, packIdOf, parseEpochKey, sessionsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, assertVerifies, backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';
import { slotsOfPoint } from '../verify/point-packs.ts';
import { type CollectOptions, type CollectReport, collect } from './collect.ts';
import { choosePoints, deletePoints, undeletePoints } from './trash.ts';

export const dayMs = 24 * 3600 * 1000;
const chunk = smallChunkBytes;

export type Kept = { readonly point: RestorePoint; readonly disk: MemoryDisk };

export type Story = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly clock: FakeClock;
  /** As it is now. */
  readonly disk: MemoryDisk;
  readonly kept: readonly Kept[];
};

/** Small packs, so that each point has some for itself. */
export async function collectStory(points = 3): Promise<Story> {
  const clock = fakeClock();
  const made = await newRepository({ packBytes: 2 * chunk });
  const repository: Repository = { ...made.repository, clock };
  const disk = new MemoryDisk(8 * chunk);
  disk.write(noise({ seed: 1, length: 8 * chunk }), 0);
  const kept: Kept[] = [];
  for (let index = 0; index < points; index += 1) {
    if (index > 0) disk.write(noise({ seed: 10 + index, length: 2 * chunk }), 2 * chunk);
    const { point } = await backupOf(repository, { vda: disk }, { parent: kept.at(-1)?.point });
    kept.push({ point, disk: disk.clone() });
    await clock.advance(60_000);
  }
  return { store: made.store, repository, clock, disk, kept };
}

export async function removePoint(repository: Repository, point: RestorePoint): Promise<void> {
  const points = await choosePoints({ repository, words: [point.manifest.id], state: 'available' });
  await deletePoints({ repository, points });
}

export async function bringBackPoint(repository: Repository, point: RestorePoint): Promise<void> {
  const points = await choosePoints({ repository, words: [point.manifest.id], state: 'trashed' });
  await undeletePoints({ repository, points });
}

/** Collects with nothing kept in the trash. */
export async function collectNow(
  repository: Repository,
  options: Partial<CollectOptions> = {},
): Promise<CollectReport> {
  return await collect({ repository, trashDays: 0, ...options });
}

/** Packs on the storage that no listed point uses. */
export async function orphansIn(repository: Repository, store: MemoryStore): Promise<readonly string[]> {
  const { points } = await listPoints({ repository, states: ['available', 'trashed'] });
  const used = new Set<string>();
  for (const { manifest } of points) {
    for await (const { packId } of slotsOfPoint(repository, manifest)) used.add(packId);
  }
  const packs = [...store.objects().keys()].filter((key) => /^d\/default\/(data|meta)\//.test(key)).map(packIdOf);
  return packs.filter((pack) => !used.has(pack));
}

/** No garbage, no announcement and no session is left; what must stay for ever may. */
export async function assertTidy(repository: Repository, store: MemoryStore): Promise<void> {
  assert.deepEqual(await orphansIn(repository, store), []);
  const announcements = [...store.objects().keys()].filter(
    (key) =>
      key.startsWith(collectionPrefix) && !key.startsWith(fencesPrefix) && parseEpochKey(key)?.part !== 'outcome',
  );
  assert.deepEqual(announcements, []);
  assert.deepEqual(
    [...store.objects().keys()].filter((key) => key.startsWith(sessionsPrefix) || key.startsWith('sess-idx/')),
    [],
  );
}

/** Exactly these points are listed, and each is whole. */
export async function assertKept(repository: Repository, kept: readonly Kept[]): Promise<void> {
  const points = await assertVerifies(repository);
  assert.deepEqual(points.map(({ key }) => key).sort(), kept.map(({ point }) => point.key).sort());
  for (const { point, disk } of kept) await assertRestores(repository, point, { vda: disk });
}

/** What must hold: in the middle of everything, looked at in a copy of the storage, and at the end. */
import { MemoryDisk, type MemoryStore, MemoryTarget } from '@holdfast/testing';
import { collect } from '../collect/collect.ts';
import { type PointState, doesCount } from '../manifest/point-states.ts';
import { type ListedPoint, listPoints } from '../manifest/points.ts';
import { listTombs, readTomb } from '../manifest/tombs.ts';
import { Forwardings } from '../pack/forwardings.ts';
import { packIdOf } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { through } from '../repository-fixture.ts';
import { openDiskMap, restoreDisk } from '../restore/restore-disk.ts';
import { pointDiskOf } from '../serve/point-disk.ts';
import { settledVerdictOf } from '../session/fences.ts';
import { slotsOfPoint } from '../verify/point-packs.ts';
import { BrokenPromise, type PointRecord } from './oracle-fixture.ts';
import { isLoss } from './operations-fixture.ts';
import { leftBehind } from './tidy-fixture.ts';
import type { World } from './world-fixture.ts';

const dayMs = 24 * 3600 * 1000;
const allStates: readonly PointState[] = ['available', 'trashed', 'purging', 'void'];

/** Every promised point is there and has its bytes; none is there that was said not to be. */
export async function checkPoints(world: World): Promise<void> {
  const store = world.store.clone();
  const repository = through(world.repository, store);
  const { points, damaged } = await listPoints({ repository, states: allStates });
  if (damaged.length > 0) throw new BrokenPromise(`${damaged[0]!.key} cannot be read.`, { cause: damaged[0]!.error });
  const listed = new Map(points.map((point) => [point.manifest.id, point]));
  for (const record of world.points.values()) {
    await learn(world, record);
    const point = listed.get(record.pointId);
    listed.delete(record.pointId);
    const counts = point !== undefined && doesCount(point.state);
    if (counts && record.promise === 'never') {
      throw new BrokenPromise(`Point ${record.pointId} is there, and its writer was told that it failed.`);
    }
    if (!counts && record.mustCount(world.clock.nowMs())) {
      throw new BrokenPromise(`Point ${record.pointId} is ${point?.state ?? 'gone'}.`);
    }
    if (record.mustBeAvailable && point?.state !== 'available') {
      throw new BrokenPromise(`Point ${record.pointId} is ${point?.state}, and nobody deleted it.`);
    }
    if (counts) await checkContent({ world, repository, store, point, record });
  }
  for (const [pointId, { state }] of listed) {
    if (doesCount(state)) throw new BrokenPromise(`Nobody has made point ${pointId}.`);
  }
}

/** A verdict is a promise to everybody. */
async function learn(world: World, record: PointRecord): Promise<void> {
  if (record.promise !== 'open' || record.sessionId === undefined) return;
  const verdict = await settledVerdictOf(world.repository, record.sessionId);
  if (verdict?.committed === record.pointId) record.promise = 'kept';
}

type Content = {
  readonly world: World;
  readonly repository: Repository;
  readonly store: MemoryStore;
  readonly point: ListedPoint;
  readonly record: PointRecord;
};

async function checkContent(content: Content): Promise<void> {
  const { world, repository, point, record } = content;
  for (const [name, due] of Object.entries(record.disks)) {
    const into = Buffer.alloc(due.sizeBytes);
    const expected = Buffer.alloc(due.sizeBytes);
    due.read(expected, 0);
    try {
      const map = await openDiskMap({ repository, point, disk: name });
      await using disk = pointDiskOf({ repository, map, cacheBytes: 0, readAheadChunks: 0 });
      await disk.read({ into, offset: 0 });
    } catch (error) {
      if (isLoss(error) && world.rotten.size > 0 && (await usesRot(content))) {
        world.note('disks found lost to rot');
        continue;
      }
      throw new BrokenPromise(`Point ${record.pointId} ${name} cannot be read.`, { cause: error });
    }
    if (!into.equals(expected)) throw new BrokenPromise(`Point ${record.pointId} ${name} has wrong bytes.`);
  }
}

/** Whether a pack with a turned byte, or one that nothing is known of any more, is among those of the point. */
async function usesRot({ world, repository, point }: Content): Promise<boolean> {
  const rotten = new Set([...world.rotten].map(packIdOf));
  try {
    const forwardings = new Forwardings(repository);
    for await (const { packId, slots } of slotsOfPoint(repository, point.manifest)) {
      if (rotten.has(packId)) return true;
      for (const slot of slots) {
        for await (const place of forwardings.chain({ packId, slot })) if (rotten.has(place.packId)) return true;
      }
    }
    return false;
  } catch (error) {
    if (isLoss(error)) return true;
    throw error;
  }
}

/**
 * When everybody is done or dead: what is promised restores, also onto disks, and after a collection that fences everybody
 * nothing is left that nobody needs. Then the trash is emptied, and the same holds.
 */
export async function checkEnd(world: World): Promise<void> {
  await checkPoints(world);
  const isTidy = await collectAll(world, 30);
  await checkPoints(world);
  await checkRestores(world);
  if (isTidy) await checkTidy(world);
  await world.clock.advance(31 * dayMs);
  for (const record of world.points.values()) record.beginCollect(0);
  if (!(await collectAll(world, 0))) return;
  await checkPoints(world);
  await checkTidy(world);
  await checkTombs(world);
}

/**
 * Until one finds nothing more: a pack that was condemned because its frames were moved, and is used by nobody when that
 * is decided, leaves its forwardings to the next collection.
 */
const lastCollections = 4;

/** False when damage makes the keeper refuse. */
async function collectAll(world: World, trashDays: number): Promise<boolean> {
  const { repository } = world;
  try {
    for (let run = 1; ; run += 1) {
      const { openEpochs, condemned, deleted } = await collect({ repository, trashDays, fenceOlderThanMs: -1 });
      if (openEpochs.length > 0) throw new BrokenPromise(`Epochs ${openEpochs.join(', ')} stay open.`);
      if (condemned.packs + deleted.packs === 0) return true;
      if (run === lastCollections)
        throw new BrokenPromise(`Collection ${run} still finds ${condemned.packs + deleted.packs} packs.`);
    }
  } catch (error) {
    if (world.rotten.size > 0 && !(error instanceof BrokenPromise)) return false;
    throw error;
  }
}

async function checkRestores(world: World): Promise<void> {
  const { repository, store } = world;
  const { points } = await listPoints({ repository });
  for (const point of points) {
    const record = world.points.get(point.manifest.id)!;
    for (const [name, due] of Object.entries(record.disks)) {
      const disk = new MemoryDisk(due.sizeBytes);
      try {
        await restoreDisk({ repository, point, disk: name, target: new MemoryTarget({ disk, fresh: true }) });
      } catch (error) {
        if (isLoss(error) && (await usesRot({ world, repository, store, point, record }))) continue;
        throw new BrokenPromise(`Point ${record.pointId} ${name} cannot be restored.`, { cause: error });
      }
      if (due.differsFrom(disk) === undefined) continue;
      throw new BrokenPromise(`Point ${record.pointId} ${name} restores with wrong bytes.`);
    }
  }
}

/** Nothing is left but points, what they use, and what the protocol keeps for ever. */
async function checkTidy({ repository, store }: World): Promise<void> {
  const left = await leftBehind({ repository, keys: [...store.objects().keys()] });
  if (left.length > 0) throw new BrokenPromise(`The last collection left behind ${left.join(', ')}.`);
}

/** Records of points that are gone go with time, but for those that know the highest number of a series that goes on. */
async function checkTombs({ repository, clock }: World): Promise<void> {
  const { points } = await listPoints({ repository, states: ['available', 'trashed'] });
  const highest = new Map<string | null, number>();
  for (const { manifest } of points) {
    highest.set(manifest.series, Math.max(highest.get(manifest.series) ?? 0, manifest.increment_id ?? 0));
  }
  for (const [pointId, number] of await listTombs({ repository })) {
    const tomb = await readTomb(repository, { pointId, number });
    if ((tomb?.increment_id ?? 0) > (highest.get(tomb?.series ?? null) ?? Infinity)) continue;
    if (tomb?.state === 'purging' && clock.nowMs() - Date.parse(tomb.at) > 30 * dayMs) {
      throw new BrokenPromise(`The purging record of ${pointId} is still there.`);
    }
  }
}

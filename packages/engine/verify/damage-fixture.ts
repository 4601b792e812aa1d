/** A tiny repository, and the judgement of damage done to one of its objects: harmless, or loud; nothing in between. */
import assert from 'node:assert/strict';
import { HoldfastError } from '@holdfast/base';
import { faultyStore, MemoryDisk, MemoryStore, noise, text } from '@holdfast/testing';
import type { HashAlgorithm } from '../chunk/hash.ts';
import { findPoint, listPoints } from '../manifest/points.ts';
import { keysPrefix, repositoryKey } from '../repository/layout.ts';
import { initRepository, openRepository, type Repository } from '../repository/repository.ts';
import { backupOf, passphrase, restored, smallChunkBytes, through } from '../repository-fixture.ts';
import { verifyRepository } from './verify-repository.ts';

export type TinyRepository = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly passphrase: string | undefined;
  /** What each point's disk was, by the point's id. */
  readonly disks: ReadonlyMap<string, MemoryDisk>;
  /** Keys of what a restore of each point reads. */
  readonly reads: ReadonlyMap<string, ReadonlySet<string>>;
};

/**
 * Three points of one disk, a few KiB: chunks that compress, one that does not, a hole; then a chunk that changed a little
 * (a patch), then one that changed as a whole.
 */
export async function tinyRepository(options: {
  readonly encrypted: boolean;
  readonly hash: HashAlgorithm;
}): Promise<TinyRepository> {
  const key = options.encrypted ? passphrase : undefined;
  const store = new MemoryStore();
  const chunkBytes = 4 * smallChunkBytes;
  await initRepository({ store, chunkBytes, hash: options.hash, passphrase: key });
  const repository = await openRepository({ store, passphrase: key });
  const disk = new MemoryDisk(3 * chunkBytes + 200);
  disk.write(text({ seed: 1, length: 2 * chunkBytes }), 0);
  disk.write(noise({ seed: 2, length: 200 }), 3 * chunkBytes);
  const disks = new Map<string, MemoryDisk>();
  const first = await backupOf(repository, { vda: disk }, { guestConfiguration: Buffer.from('<domain/>') });
  disks.set(first.point.manifest.id, disk.clone());
  let parent = first.point;
  for (const extent of [
    { offset: smallChunkBytes + 5, length: 100 },
    { offset: chunkBytes, length: chunkBytes },
  ]) {
    disk.write(text({ seed: 3, length: extent.length }), extent.offset);
    parent = (await backupOf(repository, { vda: disk }, { parent, changed: { vda: [extent] } })).point;
    disks.set(parent.manifest.id, disk.clone());
  }
  return { store, repository, passphrase: key, disks, reads: await readsOf(repository, [...disks.keys()]) };
}

async function readsOf(
  repository: Repository,
  pointIds: readonly string[],
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const reads = new Map<string, ReadonlySet<string>>();
  for (const pointId of pointIds) {
    const point = await findPoint({ repository, point: pointId });
    const store = faultyStore({ store: repository.store });
    await restored(through(repository, store), point);
    reads.set(pointId, new Set(store.calls.filter(({ verb }) => verb === 'get').map(({ key }) => key)));
  }
  return reads;
}

/**
 * `thinned`: of the points that read what is damaged one is restored, byte by byte another one, as what they share they
 * read in the same way; and every other failure is looked up in the report of a scrub.
 */
type Thoroughness = 'every point' | 'thinned';

/** One bit of each byte of each object turned over, in turn. */
export async function judgeFlips(tiny: TinyRepository, thoroughness: Thoroughness): Promise<void> {
  let lost = 0;
  for (const [key, content] of tiny.store.objects()) {
    for (let offset = 0; offset < content.length; offset += 1) {
      const damaged = Buffer.from(content);
      damaged[offset]! ^= 1 << (offset & 7);
      lost += await judgeDamage({ tiny, key, damaged, turn: thoroughness === 'thinned' ? offset : undefined });
    }
  }
  assert.ok(lost > 1000, `only ${lost} restores failed: is anything checked?`);
}

/** Each object cut to every `step`th length. */
export async function judgeTruncation(tiny: TinyRepository, step = 1): Promise<void> {
  for (const [key, content] of tiny.store.objects()) {
    for (let length = 0; length < content.length; length += step) {
      await judgeDamage({ tiny, key, damaged: content.subarray(0, length), turn: undefined });
    }
  }
}

/**
 * With `key` replaced by `damaged`: every point restores byte for byte or fails with an error of ours, and what fails is
 * in the report of a scrub. Answers how many points failed.
 * @param damage.turn thinned by this number, which counts on from one damage to the next
 */
async function judgeDamage(damage: {
  readonly tiny: TinyRepository;
  readonly key: string;
  readonly damaged: Buffer;
  readonly turn: number | undefined;
}): Promise<number> {
  const { tiny, key, damaged, turn } = damage;
  const store = tiny.store.clone();
  await store.put(key, { buffers: [damaged] });
  let repository = through(tiny.repository, store);
  if (key === repositoryKey || key.startsWith(keysPrefix)) {
    try {
      repository = await openRepository({ store, passphrase: tiny.passphrase });
    } catch (error) {
      assertLoud(error);
      return tiny.disks.size;
    }
  }
  const { points } = await listPoints({ repository });
  const made = new Set(tiny.disks.keys());
  const listed = new Set(points.map(({ manifest }) => manifest.id));
  assert.ok(listed.isSubsetOf(made), 'a point is listed that was never made');
  const unlisted = made.difference(listed);
  // Of the same repository a point that reads nothing damaged does the same as before.
  const isSame = repository.keys === tiny.repository.keys;
  const readers = points.filter(({ manifest }) => !isSame || tiny.reads.get(manifest.id)!.has(key));
  const failed = new Set<string>();
  for (const [index, point] of readers.entries()) {
    if (turn !== undefined && index !== turn % readers.length) continue;
    const pointId = point.manifest.id;
    const due = tiny.disks.get(pointId)!;
    try {
      assert.equal(due.differsFrom(await restored(repository, point)), undefined, 'wrong bytes were restored');
    } catch (error) {
      assertLoud(error);
      failed.add(pointId);
    }
  }
  // Which points are not listed does not depend on what else is read.
  if (unlisted.size > 0) await assertReported({ repository, pointIds: unlisted, scope: 'presence' });
  const isLookedUp = turn === undefined || Math.floor(turn / readers.length) % 2 === 0;
  if (failed.size > 0 && isLookedUp) await assertReported({ repository, pointIds: failed, scope: 'scrub' });
  return unlisted.size + failed.size;
}

async function assertReported(request: {
  readonly repository: Repository;
  readonly pointIds: ReadonlySet<string>;
  readonly scope: 'presence' | 'scrub';
}): Promise<void> {
  const { repository, pointIds, scope } = request;
  const { points } = await verifyRepository({ repository, scope });
  for (const pointId of pointIds) {
    const verdict = points.find((point) => point.pointId === pointId);
    assert.equal(verdict?.ok, false, `${pointId} does not restore, and verify does not say so`);
    assert.ok(verdict.problems.length > 0);
  }
}

function assertLoud(error: unknown): void {
  if (error instanceof HoldfastError && error.code !== 'internal') return;
  throw error;
}

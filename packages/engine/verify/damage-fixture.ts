/** A tiny repository, and the judgement of damage done to one of its objects: harmless, or loud; nothing in between. */
import assert from 'node:assert/strict';
import { HoldfastError } from '@holdfast/base';
import { MemoryDisk, MemoryStore, noise, text } from '@holdfast/testing';
import type { HashAlgorithm } from '../chunk/hash.ts';
import { listPoints } from '../manifest/points.ts';
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
  return { store, repository, passphrase: key, disks };
}

/** One bit of each byte of each object turned over, in turn. */
export async function judgeFlips(tiny: TinyRepository): Promise<void> {
  let lost = 0;
  for (const [key, content] of tiny.store.objects()) {
    for (let offset = 0; offset < content.length; offset += 1) {
      const damaged = Buffer.from(content);
      damaged[offset]! ^= 1 << (offset & 7);
      lost += await judgeDamage(tiny, key, damaged);
    }
  }
  assert.ok(lost > 1000, `only ${lost} restores failed: is anything checked?`);
}

/** Each object cut to every `step`th length. */
export async function judgeTruncation(tiny: TinyRepository, step = 1): Promise<void> {
  for (const [key, content] of tiny.store.objects()) {
    for (let length = 0; length < content.length; length += step) {
      await judgeDamage(tiny, key, content.subarray(0, length));
    }
  }
}

/**
 * With `key` replaced by `damaged`: every point restores byte for byte or fails with an error of ours, and what fails is
 * in the report of a scrub. Answers how many points failed.
 */
async function judgeDamage(tiny: TinyRepository, key: string, damaged: Buffer): Promise<number> {
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
  const failed = new Set(tiny.disks.keys());
  for (const point of points) {
    const due = tiny.disks.get(point.manifest.id);
    assert.ok(due, `${point.manifest.id} was never made`);
    try {
      assert.equal(due.differsFrom(await restored(repository, point)), undefined, 'wrong bytes were restored');
      failed.delete(point.manifest.id);
    } catch (error) {
      assertLoud(error);
    }
  }
  if (failed.size > 0) await assertReported(repository, failed);
  return failed.size;
}

async function assertReported(repository: Repository, failed: ReadonlySet<string>): Promise<void> {
  const { points } = await verifyRepository({ repository, scope: 'scrub' });
  for (const pointId of failed) {
    const verdict = points.find((point) => point.pointId === pointId);
    assert.equal(verdict?.ok, false, `${pointId} does not restore, and verify does not say so`);
    assert.ok(verdict.problems.length > 0);
  }
}

function assertLoud(error: unknown): void {
  if (error instanceof HoldfastError && error.code !== 'internal') return;
  throw error;
}

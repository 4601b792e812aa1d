/** A patched chunk is put together right or refused, whatever its map, its base and its patch say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode, KiB } from '@holdfast/base';
import { withMeter } from '@holdfast/storage';
import { MemoryDisk, type MemoryStore, noise } from '@holdfast/testing';
import fc from 'fast-check';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { asSplit, diskOfNoise, entriesOf } from '../backup/patched-chunks-fixture.ts';
import { frameHeadBytes } from '../codec/frame.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { DataReference, SplitReference } from '../map/reference-list.ts';
import { packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { backupOf, newRepository, through } from '../repository-fixture.ts';
import { flips } from '../wire-fixture.ts';
import { readChunk, readChunkDigest } from './chunk-reader.ts';

/** Four sub-chunks, the last one of a few bytes, so that a patch of it can be damaged everywhere. */
const chunkBytes = 3 * subChunkBytes + 40;

const isCorrupt = (error: unknown) => hasCode(error, 'chunk_corrupt');

type Story = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly plain: Buffer;
  readonly split: SplitReference;
  /** Of the point before: the base. */
  readonly base: DataReference;
  /** A patch of the same base, of another point; and a whole chunk and a patch of another disk. */
  readonly newer: SplitReference;
  readonly foreign: SplitReference;
};

async function story(encrypted: boolean): Promise<Story> {
  const { store, repository } = await newRepository({ chunkBytes: 256 * KiB, encrypted });
  const history = async (resource: string, seed: number) => {
    const disk = diskOfNoise(chunkBytes, seed);
    const first = await backupOf(repository, { vda: disk }, { resource });
    let parent = first.point;
    const splits: SplitReference[] = [];
    const plains: Buffer[] = [];
    for (const byte of [1, 2]) {
      disk.write(Buffer.alloc(30, byte), 3 * subChunkBytes + 3);
      const changed = { vda: [{ offset: 3 * subChunkBytes, length: 40 }] };
      parent = (await backupOf(repository, { vda: disk }, { resource, parent, changed })).point;
      splits.push(asSplit((await entriesOf(repository, parent))[0]));
      plains.push(contentOf(disk));
    }
    const [base] = await entriesOf(repository, first.point);
    return { base: base as DataReference, splits, plains };
  };
  const own = await history('volumes/a', 1);
  const other = await history('volumes/b', 2);
  return {
    store,
    repository,
    plain: own.plains[0]!,
    split: own.splits[0]!,
    base: own.base,
    newer: own.splits[1]!,
    foreign: other.splits[0]!,
  };
}

function contentOf(disk: MemoryDisk): Buffer {
  const content = Buffer.alloc(disk.sizeBytes);
  disk.read(content, 0);
  return content;
}

/** The repository with other bytes at a place; `undefined` takes the pack away. */
async function withPack(
  { store, repository }: Story,
  { packId }: ChunkLocation,
  change: (pack: Buffer) => Buffer | undefined,
): Promise<Repository> {
  const damaged = store.clone();
  const key = packKey({ domain: repository.domain, kind: 'data', packId });
  const bytes = change(store.objects().get(key)!);
  if (bytes) await damaged.put(key, { buffers: [bytes] });
  else await damaged.delete(key);
  return through(repository, damaged);
}

function replaced(pack: Buffer, at: number, bytes: Buffer): Buffer {
  return Buffer.concat([pack.subarray(0, at), bytes, pack.subarray(at + bytes.length)]);
}

for (const encrypted of [false, true]) {
  const kind = encrypted ? 'encrypted' : 'not encrypted';

  test(`a patched chunk is its base with the patch on it (${kind})`, async () => {
    const { repository, split, plain, base } = await story(encrypted);
    assert.ok((await readChunk(repository, { reference: split })).equals(plain));
    const before = await readChunk(repository, { reference: base });
    assert.ok(before.subarray(0, 3 * subChunkBytes).equals(plain.subarray(0, 3 * subChunkBytes)));
    assert.ok(!before.equals(plain));
  });

  test(`every bit flip in a patch's frame is refused or harmless (${kind})`, async () => {
    const told = await story(encrypted);
    const { offset, storedBytes } = told.split.patch;
    const [pack] = [...told.store.objects()].filter(([key]) => key.endsWith(told.split.patch.packId));
    let refused = 0;
    for (const { flipped } of flips(pack![1].subarray(offset, offset + storedBytes))) {
      const repository = await withPack(told, told.split.patch, (bytes) => replaced(bytes, offset, flipped));
      refused += await readOrRefuse(repository, told.split, told.plain);
    }
    // zstd has a bit that means nothing; a tag covers everything.
    assert.ok(encrypted ? refused === storedBytes : refused >= storedBytes - 3, `${refused} of ${storedBytes}`);
  });

  test(`a bit flip anywhere in the base's frame is refused, or is in its list of hashes (${kind})`, async () => {
    const told = await story(encrypted);
    const { offset, storedBytes } = told.split.base;
    const anywhere = fc.oneof(fc.nat(frameHeadBytes(4) + 40), fc.nat(storedBytes - 1));
    await fc.assert(
      fc.asyncProperty(anywhere, fc.nat(7), async (at, bit) => {
        const repository = await withPack(told, told.split.base, (bytes) => {
          const byte = bytes[offset + at]! ^ (1 << bit);
          return replaced(bytes, offset + at, Buffer.from([byte]));
        });
        const refused = await readOrRefuse(repository, told.split, told.plain);
        const inList = at >= frameHeadBytes(0) && at < frameHeadBytes(4);
        assert.equal(refused, inList ? 0 : 1, `byte ${at}`);
      }),
      { numRuns: 150 },
    );
  });

  test(`a pack of base or patch that is cut short or gone is refused (${kind})`, async () => {
    const told = await story(encrypted);
    for (const place of [told.split.base, told.split.patch]) {
      const { offset, storedBytes } = place;
      for (const length of [0, 10, offset, offset + 1, offset + 72, offset + storedBytes - 1]) {
        const repository = await withPack(told, place, (bytes) => bytes.subarray(0, length));
        await assert.rejects(readChunk(repository, { reference: told.split }), isCorrupt);
      }
      const repository = await withPack(told, place, () => undefined);
      await assert.rejects(readChunk(repository, { reference: told.split }), isCorrupt);
    }
  });

  test(`a map that names wrong places or ids is refused (${kind})`, async () => {
    const { repository, split, base, newer, foreign } = await story(encrypted);
    const foreignBase = foreign.base;
    const wrong: Readonly<Record<string, SplitReference | DataReference>> = {
      'base and patch the wrong way round': { ...split, base: split.patch, patch: split.base },
      'the base as the patch': { ...split, patch: split.base },
      'the patch as the base': { ...split, base: split.patch },
      'the base of another chunk': { ...split, base: foreignBase },
      'the patch of another chunk': { ...split, patch: foreign.patch },
      'another chunk altogether': { ...foreign, id: split.id },
      'a newer patch of the same base': { ...split, patch: newer.patch },
      'the id of the base': { ...split, id: base.id },
      'the id of nothing': { ...split, id: Buffer.alloc(32) },
      'a patch as a whole chunk': { kind: 'data', id: split.id, location: split.patch },
      'its base as a whole chunk': { kind: 'data', id: split.id, location: split.base },
      'a place between frames': { ...split, base: { ...split.base, offset: split.base.offset + 1 } },
      'a place past the end': { ...split, patch: { ...split.patch, offset: 0xffff_fff0 } },
      'too few bytes of the base': { ...split, base: { ...split.base, storedBytes: split.base.storedBytes - 1 } },
      'too few bytes of the patch': { ...split, patch: { ...split.patch, storedBytes: 40 } },
      'no bytes': { ...split, patch: { ...split.patch, storedBytes: 0 } },
      'a pack that is not there': { ...split, base: { ...split.base, packId: '00'.repeat(32) } },
    };
    for (const [what, reference] of Object.entries(wrong)) {
      await assert.rejects(readChunk(repository, { reference }), isCorrupt, what);
    }
  });

  test(`the digest of a stored chunk is had without its content (${kind})`, async () => {
    const { repository, base, split, store } = await story(encrypted);
    const plain = await readChunk(repository, { reference: base });
    const meter = withMeter({ store });
    const digest = await readChunkDigest(through(repository, meter), { location: split.base, chunkBytes });
    assert.deepEqual(digest, { ...repository.codec.digest(plain), plainBytes: chunkBytes });
    const { calls, bytesGot } = meter.snapshot();
    assert.deepEqual({ calls, bytesGot }, { calls: 1, bytesGot: 72 + 4 * 32 });
  });

  test(`a digest that cannot be believed is refused (${kind})`, async () => {
    const told = await story(encrypted);
    const { offset } = told.split.base;
    const [pack] = [...told.store.objects()].filter(([key]) => key.endsWith(told.split.base.packId));
    for (const { offset: at, flipped } of flips(pack![1].subarray(offset, offset + frameHeadBytes(4)))) {
      const repository = await withPack(told, told.split.base, (bytes) => replaced(bytes, offset, flipped));
      const reading = readChunkDigest(repository, { location: told.split.base, chunkBytes });
      await assert.rejects(reading, isCorrupt, `byte ${at}`);
    }
    const { repository, split } = told;
    for (const location of [split.patch, { ...split.base, offset: offset + 1 }, { ...split.base, storedBytes: 71 }]) {
      await assert.rejects(readChunkDigest(repository, { location, chunkBytes }), isCorrupt);
    }
    // Asked for a chunk of fewer sub-chunks, its list is not read whole.
    await assert.rejects(readChunkDigest(repository, { location: split.base, chunkBytes: subChunkBytes }), isCorrupt);
  });
}

test('an abort reaches the storage', async () => {
  const { repository, split } = await story(false);
  const reason = new HoldfastError('interrupted', 'Stopped by a test.');
  const signal = AbortSignal.abort(reason);
  await assert.rejects(readChunk(repository, { reference: split, signal }), reason);
  await assert.rejects(readChunkDigest(repository, { location: split.base, chunkBytes, signal }), reason);
});

test('a whole chunk that does not compress, one that does and one of a byte are read as they were', async () => {
  const { repository } = await newRepository({ chunkBytes: 256 * KiB });
  for (const plain of [noise({ seed: 1, length: 256 * KiB }), Buffer.alloc(256 * KiB, 'text'), Buffer.from('x')]) {
    const disk = new MemoryDisk(plain.length);
    disk.write(plain, 0);
    const { point } = await backupOf(repository, { vda: disk });
    const [reference] = await entriesOf(repository, point);
    assert.ok((await readChunk(repository, { reference: reference as DataReference })).equals(plain));
  }
});

/** 1 when the chunk was refused, 0 when it came as it should; anything else fails the test. */
async function readOrRefuse(repository: Repository, reference: SplitReference, due: Buffer): Promise<0 | 1> {
  try {
    assert.ok((await readChunk(repository, { reference })).equals(due), 'wrong bytes were read');
    return 0;
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    return 1;
  }
}

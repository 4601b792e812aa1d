/** A base that is gone or damaged: before a backup it is no base, afterwards it is loud for the points that need it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, KiB } from '@holdfast/base';
import { faultyStore, type MemoryDisk, type MemoryStore } from '@holdfast/testing';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { frameHeadBytes, frameHeaderBytes } from '../codec/frame.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { locationsOf } from '../map/reference-list.ts';
import { adoptRepository } from '../repository/adopt.ts';
import { encodeDocument } from '../repository/document.ts';
import { epochKey, packKey, packsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, assertVerifies, backupOf, newRepository, restored, through } from '../repository-fixture.ts';
import { verifyRepository } from '../verify/verify-repository.ts';
import {
  asSplit,
  assertEveryWay,
  assertSound,
  diskOfNoise,
  entriesOf,
  kindsOf,
  restoreOver,
  touch,
  usesPlace,
} from './patched-chunks-fixture.ts';

const chunkBytes = 256 * KiB;
const count = chunkBytes / subChunkBytes;

type Kept = { readonly point: RestorePoint; readonly disk: MemoryDisk };
type Story = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly disk: MemoryDisk;
  /** Three points: whole; the second chunk patched; that one patched anew and the third patched. */
  readonly kept: readonly Kept[];
};

/** A pack for each chunk. */
async function story(encrypted: boolean): Promise<Story> {
  const { store, repository } = await newRepository({ chunkBytes, encrypted, packBytes: chunkBytes });
  const disk = diskOfNoise(4 * chunkBytes);
  let { point } = await backupOf(repository, { vda: disk });
  const kept = [{ point, disk: disk.clone() }];
  for (const subChunks of [[count], [count, 2 * count + 1]]) {
    const changed = { vda: touch(disk, subChunks, 10 * kept.length) };
    ({ point } = await backupOf(repository, { vda: disk }, { parent: point, changed }));
    kept.push({ point, disk: disk.clone() });
  }
  assert.deepEqual(await kindsOf(repository, point), ['data', 'split', 'split', 'data']);
  return { store, repository, disk, kept };
}

/** What can have happened to the base's pack: the new content of it, or nothing. */
const losses: Readonly<Record<string, (pack: Buffer, base: ChunkLocation) => Buffer | undefined>> = {
  'is missing': () => undefined,
  'is empty': () => Buffer.alloc(0),
  'is cut short in the head of the frame': (pack, { offset }) => pack.subarray(0, offset + frameHeaderBytes + 5),
  'is cut short in the content of the frame': (pack, { offset }) => pack.subarray(0, offset + 5000),
  'has a damaged frame header': (pack, { offset }) => flipped(pack, offset + 30),
  'has a damaged list of hashes': (pack, { offset }) => flipped(pack, offset + frameHeadBytes(2)),
  'holds something else': (pack) => Buffer.alloc(pack.length, 'HFf1'),
};

function flipped(pack: Buffer, at: number): Buffer {
  const copy = Buffer.from(pack);
  copy[at]! ^= 1;
  return copy;
}

for (const encrypted of [false, true]) {
  const kind = encrypted ? 'encrypted' : 'not encrypted';

  for (const [what, change] of Object.entries({ 'is as it was': (pack: Buffer) => pack, ...losses })) {
    const due = what === 'is as it was' ? 'split' : 'data';
    test(`a chunk whose base's pack ${what} is ${due === 'split' ? 'patched' : 'stored whole'} (${kind})`, async () => {
      // The third chunk's base is named by a whole entry in one parent, and by a patched one in the other.
      for (const parentAt of [1, 2]) {
        const { store, repository, disk, kept } = await story(encrypted);
        const { base } = asSplit((await entriesOf(repository, kept[2]!.point))[2]);
        await spoil(store, base, change);
        const changed = { vda: [...touch(disk, [2 * count + 1], 50), { offset: 2 * chunkBytes, length: chunkBytes }] };
        const parent = kept[parentAt]!.point;
        const whole = [{ offset: 0, length: disk.sizeBytes }];
        const { point } = await backupOf(
          repository,
          { vda: disk },
          { parent, changed: parentAt === 2 ? changed : { vda: whole } },
        );
        assert.deepEqual(await kindsOf(repository, point), ['data', 'split', due, 'data']);
        await assertEveryWay(repository, { point, disk });
        const next = touch(disk, [2 * count + (due === 'split' ? 1 : 3)], 60);
        const after = await backupOf(repository, { vda: disk }, { parent: point, changed: { vda: next } });
        assert.deepEqual(await kindsOf(repository, after.point), ['data', 'split', 'split', 'data']);
        await assertEveryWay(repository, { point: after.point, disk });
      }
    });
  }

  test(`damage to a base or a patch is loud for exactly the points that need it (${kind})`, async () => {
    const { store: whole, repository, kept } = await story(encrypted);
    const places = new Map<string, ChunkLocation>();
    for (const { point } of kept) {
      for (const place of (await entriesOf(repository, point)).flatMap(locationsOf)) {
        places.set(`${place.packId}.${place.slot}`, place);
      }
    }
    assert.equal(places.size, 4 + 1 + 2);
    let failures = 0;
    for (const place of places.values()) {
      for (const damage of ['payload', 'header', 'missing'] as const) {
        const store = whole.clone();
        await spoil(store, place, (pack) => {
          if (damage === 'missing') return undefined;
          return flipped(pack, place.offset + (damage === 'header' ? 10 : place.storedBytes - 1));
        });
        const damaged = through(repository, store);
        const { points } = await verifyRepository({ repository: damaged, scope: 'scrub' });
        for (const { point, disk } of kept) {
          const concerned =
            damage === 'missing'
              ? (await entriesOf(damaged, point)).flatMap(locationsOf).some(({ packId }) => packId === place.packId)
              : await usesPlace(damaged, point, place);
          const verdict = points.find(({ pointId }) => pointId === point.manifest.id)!;
          assert.equal(verdict.ok, !concerned, verdict.problems.join(' '));
          if (!concerned) await assertEveryWay(damaged, { point, disk });
          else {
            failures += 1;
            await assert.rejects(restored(damaged, point), (error) => hasCode(error, 'chunk_corrupt'));
            // Whoever has the content already needs nothing of what is lost.
            assert.equal((await restoreOver(damaged, point, disk.clone())).writtenBytes, 0);
          }
        }
      }
    }
    assert.ok(failures > 30, `only ${failures}`);
  });

  test(`adopt builds the index without patches, and the series goes on (${kind})`, async () => {
    const { store, repository, disk, kept } = await story(encrypted);
    for (const key of store.objects().keys()) if (key.includes('/idx/')) await store.delete(key);
    const report = await adoptRepository({ repository });
    assert.equal(report.indexEntries, 4, 'the four whole chunks');
    assert.deepEqual([...report.unreadablePacks, ...report.unreadableTables], []);
    // What only a patch has goes up again whole; what is whole is known.
    const copy = await backupOf(repository, { vda: disk }, { resource: 'volumes/copy' });
    const { new_chunks, deduplicated_chunks } = copy.point.manifest.disks[0]!.counters;
    assert.deepEqual({ new_chunks, deduplicated_chunks }, { new_chunks: 2, deduplicated_chunks: 2 });
    const packs = [...store.objects().keys()].filter((key) => key.startsWith(packsPrefix('default', 'data')));
    const changed = { vda: touch(disk, [3 * count], 70) };
    const { point } = await backupOf(repository, { vda: disk }, { parent: kept[2]!.point, changed });
    assert.deepEqual(await kindsOf(repository, point), ['data', 'split', 'split', 'split']);
    const now = [...store.objects().keys()].filter((key) => key.startsWith(packsPrefix('default', 'data')));
    assert.equal(now.length, packs.length + 1);
    await assertEveryWay(repository, { point, disk });
    for (const one of kept) await assertEveryWay(repository, one);
    await assertRestores(repository, copy.point, { vda: kept[2]!.disk });
    await assertSound(repository, copy.point);
    await assertVerifies(repository);
  });
}

test('a base that the storage cannot read at the moment is none: the chunk is stored whole', async () => {
  for (const code of ['storage_unreachable', 'storage_denied'] as const) {
    const { store, repository, disk, kept } = await story(false);
    const changed = { vda: touch(disk, [0], 80) };
    const faulty = faultyStore({
      store,
      script: ({ verb, key }) =>
        verb === 'get' && key.startsWith(packsPrefix('default', 'data')) ? { kind: 'fail', code } : undefined,
    });
    const { point } = await backupOf(through(repository, faulty), { vda: disk }, { parent: kept[2]!.point, changed });
    assert.deepEqual(await kindsOf(repository, point), ['data', 'split', 'split', 'data']);
    await assertEveryWay(repository, { point, disk });
    await assertVerifies(repository);
  }
});

test('a base in a pack that is about to be collected is none; a patch there is replaced', async () => {
  for (const condemned of ['base', 'patch'] as const) {
    const { store, repository, disk, kept } = await story(false);
    const entry = asSplit((await entriesOf(repository, kept[2]!.point))[2]);
    const { packId } = entry[condemned];
    const packs = [{ domain: 'default', pack: packId, kind: 'data', moved: false }];
    const key = epochKey('00000001-0a1b2c3d', 'condemned');
    await store.put(key, { buffers: [encodeDocument({ version: 1, packs })] });
    const extents = touch(disk, [count, 2 * count + 1], 90);
    const { point } = await backupOf(
      repository,
      { vda: disk },
      { parent: kept[2]!.point, changed: { vda: [...extents, { offset: chunkBytes, length: 2 * chunkBytes }] } },
    );
    assert.deepEqual(await kindsOf(repository, point), [
      'data',
      'split',
      condemned === 'base' ? 'data' : 'split',
      'data',
    ]);
    const used = (await entriesOf(repository, point)).flatMap(locationsOf).map((place) => place.packId);
    assert.ok(!used.includes(packId));
    await assertEveryWay(repository, { point, disk });
  }
});

async function spoil(
  store: MemoryStore,
  place: ChunkLocation,
  change: (pack: Buffer, place: ChunkLocation) => Buffer | undefined,
): Promise<void> {
  const key = keyOf(place);
  const changed = change(store.objects().get(key)!, place);
  if (changed) await store.put(key, { buffers: [changed] });
  else await store.delete(key);
}

function keyOf({ packId }: ChunkLocation): string {
  return packKey({ domain: 'default', kind: 'data', packId });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, KiB } from '@holdfast/base';
import { faultyStore, type MemoryDisk, type MemoryStore } from '@holdfast/testing';
import type { BlobStore } from '@holdfast/storage';
import { diskOfNoise, entriesOf, restoreOver, touch } from '../backup/patched-chunks-fixture.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { locationsOf } from '../map/reference-list.ts';
import { encodeDocument } from '../repository/document.ts';
import { movedKey, packKey } from '../repository/layout.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { assertRestores, backupOf, newRepository, restored, through } from '../repository-fixture.ts';
import { openPointDisk } from '../serve/point-disk.ts';
import { moveAllPacks, movePack, packsOf } from './forwarding-fixture.ts';
import { encodeForwarding } from './forwarding-record.ts';
import { Forwardings } from './forwardings.ts';

const chunkBytes = 256 * KiB;
/** Of a keeper that has ended. */
const sessionId = 'ses_00000000000000000000000000000001';

type Story = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly kept: readonly { readonly point: RestorePoint; readonly disk: MemoryDisk }[];
};

/** Two points of whole and patched chunks, three chunks a pack. */
async function story(encrypted = false): Promise<Story> {
  const { store, repository } = await newRepository({ chunkBytes, encrypted, packBytes: 3 * chunkBytes + 64 * KiB });
  const disk = diskOfNoise(8 * chunkBytes + 1000);
  const { point } = await backupOf(repository, { vda: disk });
  const kept = [{ point, disk: disk.clone() }];
  const changed = { vda: touch(disk, [0, 9, 31], 5) };
  const next = await backupOf(repository, { vda: disk }, { parent: point, changed });
  kept.push({ point: next.point, disk: disk.clone() });
  return { store, repository, kept };
}

/** On a fresh target, over garbage, and chunk by chunk. */
async function assertRestoresEveryWay({ repository, kept }: Omit<Story, 'store'>): Promise<void> {
  for (const { point, disk } of kept) {
    await assertRestores(repository, point, { vda: disk });
    const garbage = diskOfNoise(disk.sizeBytes, 99);
    await restoreOver(repository, point, garbage);
    assert.equal(disk.differsFrom(garbage), undefined);
    await using source = await openPointDisk({ repository, point });
    const [into, due] = [Buffer.alloc(disk.sizeBytes, 1), Buffer.alloc(disk.sizeBytes)];
    await source.read({ into, offset: 0 });
    disk.read(due, 0);
    assert.ok(into.equals(due));
  }
}

for (const encrypted of [false, true]) {
  test(`points restore when all that they need was moved, once, twice and three times (encrypted: ${encrypted})`, async () => {
    const { store, repository, kept } = await story(encrypted);
    for (let move = 0; move < 3; move += 1) {
      await moveAllPacks(store, repository);
      // Whoever opens the repository now, and whoever had listed `moved/` before.
      await assertRestoresEveryWay({ repository: through(repository, store), kept });
      await assertRestoresEveryWay({ repository, kept });
    }
  });
}

test('a restore goes on when packs are moved in its middle', async () => {
  const { store: start, repository, kept } = await story();
  const { point, disk } = kept[1]!;
  const undisturbed = faultyStore({ store: start });
  await assertRestores(through(repository, undisturbed), point, { vda: disk });
  const gets = undisturbed.calls.filter(({ verb }) => verb === 'get').length;
  assert.ok(gets > 5, `only ${gets} reads`);
  for (let moveAt = 1; moveAt <= gets; moveAt += 1) {
    const store = new MovingStore(start.clone(), moveAt);
    await assertRestores(through(repository, store), point, { vda: disk });
    assert.ok(store.moved);
  }
});

/** Moves every pack before the nth read. */
class MovingStore implements BlobStore {
  readonly capabilities: BlobStore['capabilities'];
  readonly #store: MemoryStore;
  #readsLeft: number;
  #moving: Promise<void> | undefined;

  constructor(store: MemoryStore, moveAt: number) {
    this.#store = store;
    this.capabilities = store.capabilities;
    this.#readsLeft = moveAt;
  }

  get moved(): boolean {
    return this.#moving !== undefined;
  }

  async get(...call: Parameters<BlobStore['get']>): Promise<Buffer> {
    this.#readsLeft -= 1;
    if (this.#readsLeft === 0) {
      const repository = await openRepository({ store: this.#store });
      this.#moving = moveAllPacks(this.#store, repository);
    }
    await this.#moving;
    return await this.#store.get(...call);
  }

  put(...call: Parameters<BlobStore['put']>) {
    return this.#store.put(...call);
  }

  list(...call: Parameters<BlobStore['list']>) {
    return this.#store.list(...call);
  }

  delete(...call: Parameters<BlobStore['delete']>) {
    return this.#store.delete(...call);
  }

  head(...call: Parameters<BlobStore['head']>) {
    return this.#store.head(...call);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

test('forwarded neighbours are fetched together', async () => {
  const { store, repository, kept } = await story();
  await moveAllPacks(store, repository);
  const faulty = faultyStore({ store });
  await assertRestores(through(repository, faulty), kept[0]!.point, { vda: kept[0]!.disk });
  const gets = faulty.calls.filter(({ verb, key }) => verb === 'get' && key.includes('/data/'));
  // Two or three for the packs that are gone, as many again for the new ones; nine chunks one by one would be 18.
  assert.ok(gets.length < 12, `${gets.length} reads`);
  const lists = faulty.calls.filter(({ verb, key }) => verb === 'list' && key.includes('/moved/'));
  assert.equal(lists.length, 1);
});

test('a damaged frame is read from where it was forwarded to, its neighbours from where they are', async () => {
  const { store, repository, kept } = await story();
  const places = (await entriesOf(repository, kept[1]!.point)).flatMap(locationsOf);
  const before = store.clone();
  for (const place of places) {
    const key = packKey({ domain: 'default', kind: 'data', packId: place.packId });
    const packed = before.objects().get(key)!;
    const copy = through(repository, before.clone());
    const moves = await movePack(copy, { packId: place.packId, kind: 'data' });
    // The pack is still there, with one byte turned over; only this slot is forwarded.
    const moved = copy.store as MemoryStore;
    const damaged = Buffer.from(packed);
    damaged[place.offset + place.storedBytes - 1]! ^= 1;
    await moved.put(key, { buffers: [damaged] });
    await moved.put(movedKey({ domain: 'default', packId: place.packId, number: 1 }), {
      buffers: [
        encodeForwarding({
          sessionId,
          packId: place.packId,
          kind: 'data',
          moves: new Map([[place.slot, moves.get(place.slot)!]]),
        }),
      ],
    });
    await assertRestoresEveryWay({ repository: copy, kept });
  }
});

test('of one slot the highest number counts, ten after nine', async () => {
  const { store, repository, kept } = await story();
  const { packId } = locationsOf((await entriesOf(repository, kept[0]!.point))[0]!)[0]!;
  const moves = await movePack(repository, { packId, kind: 'data' });
  const first = movedKey({ domain: 'default', packId, number: 1 });
  const record = await store.get(first);
  const nowhere = new Map([...moves].map(([slot, to]) => [slot, { ...to, packId: 'f'.repeat(64) }]));
  await store.put(first, { buffers: [encodeForwarding({ sessionId, packId, kind: 'data', moves: nowhere })] });
  await assert.rejects(restored(through(repository, store), kept[0]!.point), (error) =>
    hasCode(error, 'chunk_corrupt'),
  );
  await store.put(movedKey({ domain: 'default', packId, number: 9 }), {
    buffers: [encodeForwarding({ sessionId, packId, kind: 'data', moves: nowhere })],
  });
  await store.put(movedKey({ domain: 'default', packId, number: 10 }), { buffers: [record] });
  await assertRestoresEveryWay({ repository, kept });
});

test('two keepers that forward one pack at once: one of them is refused', async () => {
  const { store, repository } = await story();
  const [packId] = packsOf(store, 'data') as [string];
  const [one, other] = [new Forwardings(repository), new Forwardings(repository)];
  const to = { packId: 'a'.repeat(64), slot: 0, offset: 32, storedBytes: 100 };
  const record = { sessionId, packId, kind: 'data', moves: new Map([[0, to]]) } as const;
  assert.equal(await other.lookup({ packId, slot: 0 }), undefined);
  await one.put(record);
  await assert.rejects(other.put(record), (error) => hasCode(error, 'object_exists'));
  await other.refresh([packId]);
  assert.deepEqual(await other.lookup({ packId, slot: 0 }), to);
  await other.put(record);
  assert.ok(store.objects().has(movedKey({ domain: 'default', packId, number: 2 })));
});

/** What somebody may have put into `moved/`, instead of what was there. */
const hostile: Readonly<Record<string, (move: Move) => ReadonlyMap<number, ChunkLocation>>> = {
  'leads back to where it came from': ({ packId, moves }) =>
    new Map([...moves].map(([slot, to]) => [slot, { ...to, packId, slot }])),
  'leads to other chunks': ({ moves }) => {
    const places = [...moves.values()];
    return new Map([...moves.keys()].map((slot, index) => [slot, places[(index + 1) % places.length]!]));
  },
  'leads beyond the end of a pack': ({ moves }) =>
    new Map([...moves].map(([slot, to]) => [slot, { ...to, offset: 0xffff_ff00 }])),
  'leads into the middle of a frame': ({ moves }) =>
    new Map([...moves].map(([slot, to]) => [slot, { ...to, offset: to.offset + 7 }])),
  'leads to no bytes at all': ({ moves }) => new Map([...moves].map(([slot, to]) => [slot, { ...to, storedBytes: 0 }])),
  'knows other slots only': ({ moves }) => new Map([...moves].map(([slot, to]) => [slot + 500, to])),
};
type Move = { readonly packId: string; readonly moves: ReadonlyMap<number, ChunkLocation> };

for (const [what, change] of Object.entries(hostile)) {
  test(`a forwarding that ${what} is loud`, async () => {
    const { store, repository, kept } = await story();
    const { packId } = locationsOf((await entriesOf(repository, kept[0]!.point))[0]!)[0]!;
    const moves = await movePack(repository, { packId, kind: 'data' });
    const changed = encodeForwarding({ sessionId, packId, kind: 'data', moves: change({ packId, moves }) });
    await store.put(movedKey({ domain: 'default', packId, number: 1 }), { buffers: [changed] });
    for (const { point } of kept) {
      const reader = through(repository, store);
      await assert.rejects(restored(reader, point), (error) => hasCode(error, 'chunk_corrupt'));
      await using source = await openPointDisk({ repository: reader, point });
      await assert.rejects(source.read({ into: Buffer.alloc(10), offset: 0 }), (error) =>
        hasCode(error, 'chunk_corrupt'),
      );
    }
  });
}

test('forwardings in a circle are loud', async () => {
  const { store, repository, kept } = await story();
  const { packId } = locationsOf((await entriesOf(repository, kept[0]!.point))[0]!)[0]!;
  const circle = ['a', 'b', 'c'].map((digit) => digit.repeat(64));
  const from = [packId, ...circle];
  for (const [index, name] of from.entries()) {
    const to = circle[index % circle.length]!;
    const moves = new Map(
      Array.from({ length: 3 }, (_, slot) => [slot, { packId: to, slot, offset: 32, storedBytes: 99 }]),
    );
    await store.put(movedKey({ domain: 'default', packId: name, number: 1 }), {
      buffers: [encodeForwarding({ sessionId, packId: name, kind: 'data', moves })],
    });
  }
  await store.delete(packKey({ domain: 'default', kind: 'data', packId }));
  await assert.rejects(restored(repository, kept[0]!.point), (error) => hasCode(error, 'chunk_corrupt'));
});

test('a damaged forwarding is loud; one record that is whole still helps', async () => {
  const { store, repository, kept } = await story();
  const { packId } = locationsOf((await entriesOf(repository, kept[0]!.point))[0]!)[0]!;
  await movePack(repository, { packId, kind: 'data' });
  const key = movedKey({ domain: 'default', packId, number: 1 });
  const whole = await store.get(key);
  const others = [
    encodeDocument({ version: 2 }),
    encodeDocument({ version: 1, session: sessionId, pack: 'a'.repeat(64), kind: 'data', slots: [] }),
    encodeDocument({ version: 1, pack: packId, kind: 'data', slots: [] }),
    encodeDocument({ version: 1, session: sessionId, pack: packId, kind: 'data', slots: [[0, 'x', 0, 0, 0]] }),
    encodeDocument({ version: 1, session: sessionId, pack: packId, kind: 'data', slots: [[-1, packId, 0, 0, 0]] }),
    whole.subarray(0, whole.length - 2),
    Buffer.alloc(0),
  ];
  for (let at = 0; at < whole.length; at += 37) {
    const flipped = Buffer.from(whole);
    flipped[at]! ^= 4;
    others.push(flipped);
  }
  for (const bytes of others) {
    await store.put(key, { buffers: [bytes] });
    const reader = through(repository, store);
    await assert.rejects(restored(reader, kept[0]!.point), (error) => hasCode(error, 'repository_damaged'));
    await assert.rejects(new Forwardings(reader).movesOf(packId), (error) => hasCode(error, 'repository_damaged'));
  }
  await store.put(movedKey({ domain: 'default', packId, number: 2 }), { buffers: [whole] });
  await assertRestoresEveryWay({ repository: through(repository, store), kept });
  // Who decides by it must know everything.
  await assert.rejects(new Forwardings(repository).movesOf(packId), (error) => hasCode(error, 'repository_damaged'));
});

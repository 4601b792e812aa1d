/** Sets of packs and slots, and what forwardings make of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { movePack } from '../pack/forwarding-fixture.ts';
import { movedPrefix, packKey } from '../repository/layout.ts';
import { tableUses } from '../repository-fixture.ts';
import { assertKept, collectNow, collectStory, removePoint } from './collect-fixture.ts';
import { listPacks, Liveness, readForwardings } from './liveness.ts';
import { PackCensus } from './pack-census.ts';
import { SlotSets } from './slot-sets.ts';

const idOf = (seed: number) => (seed >>> 0).toString(16).padStart(8, '0').repeat(8);

test('a census finds what was added, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(5000), { maxLength: 6000 }), (seeds) => {
      const census = new PackCensus();
      const due = new Map<string, number>();
      for (const seed of seeds) {
        const packId = idOf(seed);
        const sizeBytes = seed % 3 === 0 ? undefined : seed;
        const ordinal = census.add({ packId, kind: seed % 2 === 0 ? 'data' : 'meta', sizeBytes });
        assert.equal(ordinal, due.get(packId) ?? due.size);
        due.set(packId, ordinal);
        assert.equal(census.isListed(ordinal), sizeBytes !== undefined);
        assert.equal(census.sizeOf(ordinal), sizeBytes ?? 0);
        assert.equal(census.kindOf(ordinal), seed % 2 === 0 ? 'data' : 'meta');
      }
      assert.equal(census.count, due.size);
      for (const [packId, ordinal] of due) {
        assert.equal(census.findId(packId), ordinal);
        assert.equal(census.idOf(ordinal), packId);
      }
      assert.equal(census.findId(idOf(5001)), -1);
    }),
    { numRuns: 30 },
  );
});

test('slots are what was added, by one and by the byte', () => {
  const add = fc.record({ pack: fc.nat(9), slot: fc.nat(300), whole: fc.boolean() });
  fc.assert(
    fc.property(fc.array(add, { maxLength: 200 }), (adds) => {
      const sets = new SlotSets(10);
      const due = Array.from({ length: 10 }, () => new Set<number>());
      for (const { pack, slot, whole } of adds) {
        if (whole) {
          const byteCount = (slot >>> 3) + 1;
          const bytes = Buffer.alloc(byteCount + 2);
          bytes[byteCount + 1] = 0x81;
          sets.addBits(pack, { bytes, at: 2, byteCount });
          for (const bit of [0, 7]) due[pack]!.add((byteCount - 1) * 8 + bit);
        } else {
          sets.add(pack, slot);
          due[pack]!.add(slot);
        }
      }
      for (const [pack, slots] of due.entries()) {
        assert.deepEqual(
          [...sets.slotsOf(pack)],
          [...slots].sort((a, b) => a - b),
        );
        assert.equal(sets.isEmpty(pack), slots.size === 0);
      }
    }),
  );
});

test('a pack whose frames in use were all moved goes; what leads to them stays as long as somebody follows it', async () => {
  const { store, repository, kept } = await collectStory();
  const forwardings = () => [...store.objects().keys()].filter((key) => key.startsWith(movedPrefix('default'))).length;
  // A pack of the first point, moved twice; the old ones are put back, as compaction leaves them for collection.
  const [name] = Object.keys(await tableUses(repository, kept[0]!.point)).filter((one) => one.startsWith('data'));
  const first = name!.split(' ')[1]!;
  const keyOf = (packId: string) => packKey({ domain: 'default', kind: 'data', packId });
  let packId = first;
  const moved: string[] = [];
  for (let step = 0; step < 2; step += 1) {
    const bytes = await store.get(keyOf(packId));
    const moves = await movePack(repository, { packId, kind: 'data' });
    await store.put(keyOf(packId), { buffers: [bytes] });
    moved.push(packId);
    packId = [...moves.values()][0]!.packId;
  }
  const report = await collectNow(repository);
  assert.equal(report.deleted.packs, 2);
  for (const gone of moved) assert.equal(await store.head(keyOf(gone)), undefined);
  assert.ok(await store.head(keyOf(packId)));
  assert.equal(forwardings(), 2);
  await assertKept(repository, kept);
  assert.equal((await collectNow(repository)).condemned.packs, 0);
  for (const { point } of kept) await removePoint(repository, point);
  const last = await collectNow(repository);
  assert.ok(last.deleted.packs > 3);
  assert.equal(forwardings(), 0);
});

test('a pack stays while one frame in use was not moved, or was moved to a pack that is not there', async () => {
  const { store, repository, kept } = await collectStory(1);
  const [name] = Object.keys(await tableUses(repository, kept[0]!.point)).filter((one) => one.startsWith('data'));
  const packId = name!.split(' ')[1]!;
  const key = packKey({ domain: 'default', kind: 'data', packId });
  const bytes = await store.get(key);
  const moves = await movePack(repository, { packId, kind: 'data' });
  await store.put(key, { buffers: [bytes] });
  const to = [...moves.values()][0]!.packId;
  const toKey = packKey({ domain: 'default', kind: 'data', packId: to });
  const target = await store.get(toKey);
  await store.delete(toKey);
  assert.equal((await collectNow(repository)).deleted.packs, 0);
  await store.put(toKey, { buffers: [target] });
  assert.equal((await collectNow(repository)).deleted.packs, 1);
  await assertKept(repository, kept);
});

test('a moved pack stays while the pack it leads to is condemned, or one on the way as unused', async () => {
  const { repository, store, kept } = await collectStory(1);
  const name = Object.keys(await tableUses(repository, kept[0]!.point)).find((one) => one.startsWith('data'));
  const keyOf = (packId: string) => packKey({ domain: 'default', kind: 'data', packId });
  const chain = [name!.split(' ')[1]!];
  for (let step = 0; step < 2; step += 1) {
    const packId = chain.at(-1)!;
    const bytes = await store.get(keyOf(packId));
    const moves = await movePack(repository, { packId, kind: 'data' });
    await store.put(keyOf(packId), { buffers: [bytes] });
    chain.push([...moves.values()][0]!.packId);
  }
  const [first, second, third] = chain as [string, string, string];
  const standing = async (options: { readonly leaving?: readonly string[]; readonly cut?: readonly string[] }) => {
    const census = await listPacks(repository);
    const forwardings = await readForwardings(repository, census);
    const used = new SlotSets(census.count);
    used.add(census.findId(first), 0);
    const { leaving = [], cut = [] } = options;
    const liveness = await Liveness.of({
      census,
      used,
      forwardings,
      isStaying: (ordinal) => ![...leaving, ...cut].includes(census.idOf(ordinal)),
      isCut: (packId) => cut.includes(packId),
    });
    return [first, second, third].map((packId) => liveness.standingOf(census.findId(packId)));
  };
  assert.deepEqual(await standing({}), ['moved', 'moved', 'used']);
  assert.deepEqual(await standing({ leaving: [second] }), ['moved', 'moved', 'used']);
  assert.deepEqual(await standing({ leaving: [third] }), ['moved', 'used', 'used']);
  assert.deepEqual(await standing({ leaving: [second, third] }), ['used', 'used', 'used']);
  assert.deepEqual(await standing({ cut: [second] }), ['used', 'moved', 'used']);
});

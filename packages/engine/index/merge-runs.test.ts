import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { fakeClock, faultyStore, MemoryStore } from '@holdfast/testing';
import { openChunkIndex } from './chunk-index.ts';
import type { IndexDamage } from './damage.ts';
import { idOf, locationOf, noDamage, packIdOf, prefix, publishChunks, runKeys } from './index-fixture.ts';
import { mergeRuns } from './merge-runs.ts';
import { buildSyntheticRun, syntheticChunks } from './synthetic-run.ts';

test('after any sequence of publishes, merges and condemned packs the index answers like a map of the newest locations', async () => {
  const publish = fc.record({
    first: fc.integer({ min: 0, max: 300 }),
    count: fc.integer({ min: 1, max: 60 }),
    merge: fc.boolean(),
    condemn: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(publish, { minLength: 1, maxLength: 40, size: 'max' }), async (publishes) => {
      const store = new MemoryStore();
      const clock = fakeClock();
      const history = new Map<number, number[]>();
      const excludedPacks = new Set<string>();
      for (const [pack, { first, count, merge, condemn }] of publishes.entries()) {
        const names = Array.from({ length: count }, (_, nth) => first + nth);
        const mergeBudgetEntries = merge ? 1_000_000 : 0;
        await publishChunks({ store, names, pack, clock, mergeBudgetEntries, excludedPacks });
        for (const name of names) history.set(name, [...(history.get(name) ?? []), pack]);
        if (condemn && pack % 5 === 4) excludedPacks.add(packIdOf(pack - 2));
      }
      const index = await openChunkIndex({ store, prefix, excludedPacks, onDamage: noDamage });
      for (let name = 0; name < 400; name += 1) {
        const packs = history.get(name) ?? [];
        const answer = await index.lookup(idOf(name));
        const newest = packs.at(-1);
        if (newest === undefined) assert.equal(answer, undefined);
        else if (!excludedPacks.has(packIdOf(newest))) assert.deepEqual(answer, locationOf(name, newest));
        else if (answer !== undefined) {
          // A merge before the newest pack was condemned may have forgotten older locations; what is left must be one.
          const usable = packs.filter((pack) => !excludedPacks.has(packIdOf(pack)));
          assert.ok(usable.some((pack) => isDeepStrictEqual(answer, locationOf(name, pack))));
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('the number of runs stays logarithmic', async () => {
  const store = new MemoryStore();
  const clock = fakeClock();
  let most = 0;
  for (let pack = 0; pack < 300; pack += 1) {
    const names = Array.from({ length: 150 }, (_, nth) => pack * 150 + nth);
    await publishChunks({ store, names, pack, clock });
    most = Math.max(most, runKeys(store).length);
  }
  assert.ok(most <= 15, `${most} runs`);
  const index = await openChunkIndex({ store, prefix, onDamage: noDamage });
  for (let name = 0; name < 300 * 150; name += 11) {
    assert.deepEqual(await index.lookup(idOf(name)), locationOf(name, Math.floor(name / 150)));
  }
});

test('a merge keeps within its budget, and a larger budget goes on later', async () => {
  const store = new MemoryStore();
  for (let run = 0; run < 8; run += 1) {
    await buildSyntheticRun({ store, key: `${prefix}00000000000${run}-0123456789abcdef`, entries: 20_000, seed: run });
  }
  const counted = faultyStore({ store });
  assert.equal(await mergeRuns({ store: counted, prefix, budgetEntries: 100_000 }), 0);
  assert.deepEqual(
    counted.calls.map(({ verb }) => verb),
    ['list'],
  );
  assert.equal(await mergeRuns({ store, prefix, budgetEntries: 200_000, onDamage: noDamage }), 8);
  assert.equal(runKeys(store).length, 1);
  const index = await openChunkIndex({ store, prefix, onDamage: noDamage });
  for (let seed = 0; seed < 8; seed += 1) {
    for (const { id, location } of syntheticChunks({ entries: 20_000, seed, shard: 1 }).slice(0, 500)) {
      assert.deepEqual(await index.lookup(id), location);
    }
  }
});

test('a merge leaves damaged runs where they are and damaged blocks out', async () => {
  const store = new MemoryStore();
  const clock = fakeClock();
  for (let pack = 0; pack < 9; pack += 1) {
    const names = Array.from({ length: 400 }, (_, nth) => pack * 1000 + nth);
    await publishChunks({ store, names, pack, clock, mergeBudgetEntries: 0 });
  }
  const [noHead, noBlock] = runKeys(store);
  await flip(store, noHead!, 10);
  await flip(store, noBlock!, 10_000);
  const damages: IndexDamage[] = [];
  assert.equal(await mergeRuns({ store, prefix, clock, onDamage: (damage) => damages.push(damage) }), 8);
  assert.deepEqual([...new Set(damages.map(({ key }) => key))], [noHead, noBlock]);
  assert.deepEqual(runKeys(store).length, 2);
  assert.ok(runKeys(store).includes(noHead!));
  const index = await openChunkIndex({ store, prefix });
  for (let pack = 2; pack < 9; pack += 1) {
    assert.deepEqual(await index.lookup(idOf(pack * 1000)), locationOf(pack * 1000, pack));
  }
  let lost = 0;
  for (let name = 1000; name < 1400; name += 1) if ((await index.lookup(idOf(name))) === undefined) lost += 1;
  assert.equal(lost, 85);
});

test('a failing read ends a merge; every run is still there', async () => {
  const inside = new MemoryStore();
  const clock = fakeClock();
  for (let pack = 0; pack < 8; pack += 1) {
    await publishChunks({ store: inside, names: [pack], pack, clock, mergeBudgetEntries: 0 });
  }
  const keys = runKeys(inside);
  // The eight heads and pack tables are read by 16 calls after the list; the next one reads entries.
  const store = faultyStore({
    store: inside,
    script: ({ call }) => (call === 18 ? { kind: 'fail', code: 'storage_unreachable' } : undefined),
  });
  await assert.rejects(mergeRuns({ store, prefix, clock }), { code: 'storage_unreachable' });
  assert.deepEqual(runKeys(inside), keys);
});

async function flip(store: MemoryStore, key: string, at: number): Promise<void> {
  const bytes = Buffer.from(store.objects().get(key)!);
  bytes[at]! ^= 0x04;
  await store.put(key, { buffers: [bytes] });
}

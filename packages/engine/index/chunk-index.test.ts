import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { HoldfastError, KiB } from '@holdfast/base';
import { fakeClock, faultyStore, MemoryStore } from '@holdfast/testing';
import { openChunkIndex } from './chunk-index.ts';
import type { IndexDamage } from './damage.ts';
import { idOf, locationOf, noDamage, packIdOf, prefix, publishChunks, runKeys } from './index-fixture.ts';
import { buildSyntheticRun, syntheticChunks } from './synthetic-run.ts';

const syntheticKey = `${prefix}000000000001-0123456789abcdef`;

test('an index without runs knows nothing and complains about nothing', async () => {
  const index = await openChunkIndex({ store: new MemoryStore(), prefix, onDamage: noDamage });
  assert.equal(await index.lookup(idOf(1)), undefined);
});

test('opening is one list; a small run is then read with one call', async () => {
  const store = new MemoryStore();
  await publishChunks({ store, names: range(0, 1000), pack: 'a' });
  const counted = faultyStore({ store });
  const index = await openChunkIndex({ store: counted, prefix });
  for (const name of range(0, 1100)) await index.lookup(idOf(name));
  assert.deepEqual(
    counted.calls.map(({ verb }) => verb),
    ['list', 'get'],
  );
});

test('of several locations of a chunk the newest usable one is given', async () => {
  const store = new MemoryStore();
  const clock = fakeClock();
  for (const pack of ['old', 'middle', 'new']) await publishChunks({ store, names: [1, 2], pack, clock });
  const index = await openChunkIndex({ store, prefix });
  assert.deepEqual(await index.lookup(idOf(1)), locationOf(1, 'new'));
  const excludedPacks = new Set([packIdOf('new'), packIdOf('old')]);
  const careful = await openChunkIndex({ store, prefix, excludedPacks });
  assert.deepEqual(await careful.lookup(idOf(1)), locationOf(1, 'middle'));
  const none = await openChunkIndex({ store, prefix, excludedPacks: excludedPacks.add(packIdOf('middle')) });
  assert.equal(await none.lookup(idOf(1)), undefined);
});

test('a run of many shards answers every id, with one filter and at most two blocks read for it', async () => {
  const store = new MemoryStore();
  const entries = 100_000;
  await buildSyntheticRun({ store, key: syntheticKey, entries, seed: 3 });
  const counted = faultyStore({ store });
  // A budget that holds next to nothing: every lookup has to read.
  const index = await openChunkIndex({ store: counted, prefix, memoryBudgetBytes: 1 * KiB, onDamage: noDamage });
  await index.lookup(randomBytes(32));
  for (let shard = 0; shard < 8; shard += 1) {
    for (const { id, location } of syntheticChunks({ entries, seed: 3, shard }).slice(0, 200)) {
      const before = counted.calls.length;
      assert.deepEqual(await index.lookup(id), location);
      const reads = counted.calls.length - before;
      assert.ok(reads >= 3 && reads <= 4, `${reads} reads: filter, block or two, pack page`);
    }
  }
});

test('the cache stays within its budget', async () => {
  const store = new MemoryStore();
  await buildSyntheticRun({ store, key: syntheticKey, entries: 200_000, seed: 4 });
  const memoryBudgetBytes = 128 * KiB;
  const index = await openChunkIndex({ store, prefix, memoryBudgetBytes });
  for (let round = 0; round < 2000; round += 1) {
    assert.equal(await index.lookup(randomBytes(32)), undefined);
    assert.ok(index.cachedBytes <= memoryBudgetBytes);
  }
  assert.ok(index.cachedBytes > memoryBudgetBytes / 2);
});

test('a thousand lookups at once share their reads and are all answered right', async () => {
  const store = new MemoryStore();
  await publishChunks({ store, names: range(0, 5000), pack: 'a' });
  const counted = faultyStore({ store });
  const index = await openChunkIndex({ store: counted, prefix, onDamage: noDamage });
  const answers = await Promise.all([...range(0, 1000)].map((name) => index.lookup(idOf(name * 7))));
  answers.forEach((answer, name) => assert.deepEqual(answer, name * 7 < 5000 ? locationOf(name * 7, 'a') : undefined));
  const blocks = Math.ceil(5000 / 85);
  assert.ok(counted.calls.length <= 1 + 1 + 1 + blocks + 1, `${counted.calls.length} calls`);
});

test('a run that another session merged away under a reader is found again in what replaced it', async () => {
  const store = new MemoryStore();
  const clock = fakeClock();
  // Above what the opening read covers, so that the reader must come back for blocks.
  await publishChunks({ store, names: range(0, 3000), pack: 'a', clock, mergeBudgetEntries: 0 });
  const damages: IndexDamage[] = [];
  const index = await openChunkIndex({ store, prefix, onDamage: (damage) => damages.push(damage) });
  assert.deepEqual(await index.lookup(idOf(5)), locationOf(5, 'a'));
  for (let pack = 0; pack < 7; pack += 1) {
    await publishChunks({ store, names: range(10_000 + pack * 10, 10_010 + pack * 10), pack, clock });
  }
  assert.equal(runKeys(store).length, 1);
  for (const name of range(0, 3000)) assert.deepEqual(await index.lookup(idOf(name)), locationOf(name, 'a'));
  assert.deepEqual(await index.lookup(idOf(10_069)), locationOf(10_069, 6));
  assert.deepEqual(
    damages.map(({ reason }) => reason),
    ['vanished'],
  );
});

test('a storage that fails reads makes chunks absent, tells why, and is asked again', async () => {
  const store = new MemoryStore();
  await publishChunks({ store, names: range(0, 3000), pack: 'a' });
  let failing = false;
  const flaky = faultyStore({
    store,
    script: ({ verb }) => (failing && verb === 'get' ? { kind: 'fail', code: 'storage_unreachable' } : undefined),
  });
  const damages: IndexDamage[] = [];
  const index = await openChunkIndex({ store: flaky, prefix, onDamage: (damage) => damages.push(damage) });
  failing = true;
  assert.equal(await index.lookup(idOf(0)), undefined, 'it cannot even be opened');
  failing = false;
  assert.deepEqual(await index.lookup(idOf(0)), locationOf(0, 'a'));
  failing = true;
  const answers = await Promise.all([...range(0, 3000)].map((name) => index.lookup(idOf(name))));
  assert.ok(answers.includes(undefined));
  assert.ok(damages.every(({ reason }) => reason === 'unreadable'));
  failing = false;
  for (const name of range(0, 3000)) assert.deepEqual(await index.lookup(idOf(name)), locationOf(name, 'a'));
});

test('an abort is no damage: lookups end with its reason', async () => {
  const store = new MemoryStore();
  await publishChunks({ store, names: range(0, 10), pack: 'a' });
  const stop = new AbortController();
  const index = await openChunkIndex({ store, prefix, onDamage: noDamage, signal: stop.signal });
  stop.abort(new HoldfastError('interrupted', 'enough'));
  await assert.rejects(index.lookup(idOf(1)), { code: 'interrupted' });
});

function* range(from: number, until: number): Generator<number> {
  for (let name = from; name < until; name += 1) yield name;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KiB, MiB } from '@holdfast/base';
import { fakeClock, faultyStore, MemoryStore } from '@holdfast/testing';
import { openChunkIndex } from './chunk-index.ts';
import type { IndexDamage } from './damage.ts';
import { idOf, locationOf, noDamage, packIdOf, prefix, runKeys } from './index-fixture.ts';
import { SessionIndex, type SessionLocation } from './session-index.ts';

const spillPrefix = 'sess-index/s1/';

function sessionEntry(name: number, packOrdinal: number): SessionLocation & { readonly id: Buffer } {
  const { slot, offset, storedBytes } = locationOf(name, packOrdinal);
  return { id: idOf(name), packOrdinal, slot, offset, storedBytes };
}

function sessionLocation(name: number, packOrdinal: number): SessionLocation {
  const { id: _, ...location } = sessionEntry(name, packOrdinal);
  return location;
}

test('a session finds at once what it added, and nobody else does before it is published', async () => {
  const store = new MemoryStore();
  const session = new SessionIndex({ store, prefix, spillPrefix });
  session.add(sessionEntry(1, 0));
  assert.deepEqual(session.lookup(idOf(1)), sessionLocation(1, 0));
  assert.equal(session.lookup(idOf(2)), undefined);
  session.sealPack(0, packIdOf(0));
  assert.equal(await (await openChunkIndex({ store, prefix })).lookup(idOf(1)), undefined);
  assert.deepEqual(await session.publish({}), { entryCount: 1 });
  assert.deepEqual(await (await openChunkIndex({ store, prefix })).lookup(idOf(1)), locationOf(1, 0));
});

test('nothing added: nothing is published', async () => {
  const store = new MemoryStore();
  const session = new SessionIndex({ store, prefix, spillPrefix });
  assert.deepEqual(await session.publish({}), { entryCount: 0 });
  assert.equal(store.objects().size, 0);
});

test('chunks of a pack that was never sealed are not published', async () => {
  const store = new MemoryStore();
  const session = new SessionIndex({ store, prefix, spillPrefix });
  session.add(sessionEntry(1, 0));
  session.add(sessionEntry(2, 300));
  session.sealPack(300, packIdOf(300));
  assert.deepEqual(await session.publish({}), { entryCount: 1 });
  const index = await openChunkIndex({ store, prefix });
  assert.equal(await index.lookup(idOf(1)), undefined);
  assert.deepEqual(await index.lookup(idOf(2)), locationOf(2, 300));
});

test('beyond its memory the session spills, still finds everything, and publishes one run of it', async () => {
  const store = new MemoryStore();
  const memoryBudgetBytes = 3 * MiB;
  const session = new SessionIndex({ store, prefix, spillPrefix, memoryBudgetBytes, onDamage: noDamage });
  const count = 100_000;
  let peak = 0;
  for (let name = 0; name < count; name += 1) {
    assert.equal(await session.lookup(idOf(name)), undefined);
    session.add(sessionEntry(name, name >>> 6));
    peak = Math.max(peak, session.memoryBytes);
    if (name % 64 === 63) session.sealPack(name >>> 6, packIdOf(name >>> 6));
  }
  session.sealPack(count >>> 6, packIdOf(count >>> 6));
  // A table may pass its third by one doubling of its slots.
  assert.ok(peak < memoryBudgetBytes * 1.25, `${peak} bytes`);
  assert.ok([...store.objects().keys()].filter((key) => key.startsWith(spillPrefix)).length >= 3);
  for (let name = 0; name < count; name += 7) {
    assert.deepEqual(await session.lookup(idOf(name)), sessionLocation(name, name >>> 6));
  }
  assert.equal(await session.lookup(idOf(-1)), undefined);
  assert.deepEqual(await session.publish({}), { entryCount: count });
  assert.equal(store.objects().size, 1);
  const index = await openChunkIndex({ store, prefix, onDamage: noDamage });
  for (let name = 0; name < count; name += 7) {
    assert.deepEqual(await index.lookup(idOf(name)), locationOf(name, name >>> 6));
  }
});

test('memory stays at 64 bytes an entry or less', () => {
  const session = new SessionIndex({ store: new MemoryStore(), prefix, spillPrefix });
  for (let name = 0; name < 200_000; name += 1) session.add(sessionEntry(name, 0));
  assert.ok(session.memoryBytes / 200_000 <= 64, `${session.memoryBytes / 200_000} bytes`);
});

test('added twice, the later location counts, also when the earlier one was spilled', async () => {
  const store = new MemoryStore();
  const session = new SessionIndex({ store, prefix, spillPrefix, memoryBudgetBytes: 600 * KiB, onDamage: noDamage });
  for (let name = 0; name < 5000; name += 1) session.add(sessionEntry(name, 0));
  await session.lookup(idOf(-1));
  for (let name = 0; name < 5000; name += 1) session.add(sessionEntry(name, 1));
  session.sealPack(0, packIdOf(0));
  session.sealPack(1, packIdOf(1));
  for (let name = 0; name < 5000; name += 1) {
    assert.deepEqual(await session.lookup(idOf(name)), sessionLocation(name, 1));
  }
  assert.deepEqual(await session.publish({}), { entryCount: 5000 });
  const index = await openChunkIndex({ store, prefix });
  for (let name = 0; name < 5000; name += 1) assert.deepEqual(await index.lookup(idOf(name)), locationOf(name, 1));
});

test('a session that is discarded leaves nothing behind', async () => {
  const store = new MemoryStore();
  const session = new SessionIndex({ store, prefix, spillPrefix, memoryBudgetBytes: 600 * KiB });
  for (let name = 0; name < 20_000; name += 1) session.add(sessionEntry(name, 0));
  await session.discard();
  assert.equal(store.objects().size, 0);
});

test('a storage that takes no spilled segment costs entries, not the session', async () => {
  const damages: IndexDamage[] = [];
  const store = faultyStore({
    store: new MemoryStore(),
    script: ({ verb, key }) =>
      verb === 'put' && key.startsWith(spillPrefix) ? { kind: 'fail', code: 'storage_full' } : undefined,
  });
  const session = new SessionIndex({
    store,
    prefix,
    spillPrefix,
    memoryBudgetBytes: 600 * KiB,
    onDamage: (damage) => damages.push(damage),
  });
  for (let name = 0; name < 10_000; name += 1) {
    await session.lookup(idOf(name));
    session.add(sessionEntry(name, 0));
  }
  session.sealPack(0, packIdOf(0));
  const { entryCount } = await session.publish({});
  assert.ok(entryCount > 0 && entryCount < 10_000);
  assert.ok(damages.length > 0 && damages.every(({ reason }) => reason === 'unreadable'));
});

test('a crash at any call of publish leaves every earlier location right', async () => {
  const before = new MemoryStore();
  const clock = fakeClock();
  for (let run = 0; run < 7; run += 1) {
    const session = new SessionIndex({ store: before, prefix, spillPrefix, clock });
    for (let name = run * 10; name < run * 10 + 15; name += 1) session.add(sessionEntry(name, run));
    session.sealPack(run, packIdOf(run));
    await session.publish({});
    await clock.advance(1);
  }
  assert.equal(runKeys(before).length, 7);
  for (let call = 1; ; call += 1) {
    for (const when of ['before', 'after', 'partial'] as const) {
      const inside = before.clone();
      const store = faultyStore({
        store: inside,
        script: (at) => (at.call === call ? { kind: 'crash', when } : undefined),
      });
      const session = new SessionIndex({ store, prefix, spillPrefix, clock });
      session.add(sessionEntry(1000, 0));
      session.sealPack(0, packIdOf(7));
      await session.publish({}).catch(() => undefined);
      if (!store.crashed) {
        assert.equal(runKeys(inside).length, 1);
        assert.ok(call > 10);
        return;
      }
      const index = await openChunkIndex({ store: inside, prefix, onDamage: noDamage });
      for (let name = 0; name < 75; name += 1) {
        assert.deepEqual(await index.lookup(idOf(name)), locationOf(name, Math.min(6, Math.floor(name / 10))));
      }
    }
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlobStore } from '@holdfast/storage';
import { fakeClock, MemoryStore } from '@holdfast/testing';
import { openChunkIndex } from './chunk-index.ts';
import { dropPacks } from './drop-packs.ts';
import { idOf, locationOf, packIdOf, prefix, publishChunks, runKeys } from './index-fixture.ts';
import { mergeRuns } from './merge-runs.ts';

/** Calls `meanwhile` before the given call of `get`. */
function withMoment(store: MemoryStore, call: number, meanwhile: () => Promise<void>) {
  let calls = 0;
  const seen: BlobStore = {
    capabilities: store.capabilities,
    put: store.put.bind(store),
    get: async (key, options) => {
      calls += 1;
      if (calls === call) await meanwhile();
      return await store.get(key, options);
    },
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    head: store.head.bind(store),
    [Symbol.asyncDispose]: async () => {},
  };
  return { seen, wasReached: () => calls >= call };
}

test('packs are dropped also while another session merges the runs away, whenever it does', async () => {
  for (let call = 1; ; call += 1) {
    const store = new MemoryStore();
    const clock = fakeClock();
    for (let pack = 0; pack < 8; pack += 1) {
      await publishChunks({ store, names: [pack, pack + 100], pack, clock, mergeBudgetEntries: 0 });
    }
    const { seen, wasReached } = withMoment(store, call, async () => void (await mergeRuns({ store, prefix, clock })));
    await dropPacks({ store: seen, prefix, packs: new Set([packIdOf(3), packIdOf(5)]), clock });
    if (!wasReached()) break;
    assert.ok(runKeys(store).length < 8, 'the runs were merged');
    const index = await openChunkIndex({ store, prefix });
    for (const pack of [0, 1, 2, 4, 6, 7]) {
      assert.deepEqual(await index.lookup(idOf(pack)), locationOf(pack, pack), `call ${call}`);
    }
  }
});

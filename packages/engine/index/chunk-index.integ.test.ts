import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { LocalStore } from '@holdfast/storage';
import { temporaryDirectory } from '@holdfast/testing';
import { openChunkIndex } from './chunk-index.ts';
import { idOf, locationOf, noDamage, packIdOf, prefix } from './index-fixture.ts';
import { SessionIndex } from './session-index.ts';

test('sessions that spill, publish and merge on a real directory are found by the next one', async () => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  for (let backup = 0; backup < 9; backup += 1) {
    const session = new SessionIndex({
      store,
      prefix,
      spillPrefix: `sess-index/${backup}/`,
      memoryBudgetBytes: MiB,
      onDamage: noDamage,
    });
    for (let name = backup * 8000; name < (backup + 1) * 8000; name += 1) {
      assert.equal(await session.lookup(idOf(name)), undefined);
      const { slot, offset, storedBytes } = locationOf(name, backup);
      session.add({ id: idOf(name), packOrdinal: 0, slot, offset, storedBytes });
    }
    session.sealPack(0, packIdOf(backup));
    assert.deepEqual(await session.publish({}), { entryCount: 8000 });
  }
  const keys = (await Array.fromAsync(store.list(''))).map(({ key }) => key);
  assert.equal(keys.length, 2, keys.join(' '));
  const index = await openChunkIndex({ store, prefix, onDamage: noDamage });
  await Promise.all(
    Array.from({ length: 72_000 / 9 }, async (_, nth) => {
      const name = nth * 9;
      assert.deepEqual(await index.lookup(idOf(name)), locationOf(name, Math.floor(name / 8000)));
    }),
  );
  assert.equal(await index.lookup(idOf(-1)), undefined);
});

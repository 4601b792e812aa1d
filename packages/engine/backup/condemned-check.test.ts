/** Which places a point may use while packs are condemned, and forwardings lead away from them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { movePack } from '../pack/forwarding-fixture.ts';
import { packKey } from '../repository/layout.ts';
import { tableUses } from '../repository-fixture.ts';
import { collectStory } from '../collect/collect-fixture.ts';
import { CondemnedCheck } from './condemned-check.ts';

/** A data pack of a point, moved twice; the old packs are still there. */
async function movedTwice() {
  const { store, repository, kept } = await collectStory(1);
  const name = Object.keys(await tableUses(repository, kept[0]!.point)).find((one) => one.startsWith('data'));
  const keyOf = (packId: string) => packKey({ domain: 'default', kind: 'data', packId });
  const packs = [name!.split(' ')[1]!];
  for (let step = 0; step < 2; step += 1) {
    const packId = packs.at(-1)!;
    const bytes = await store.get(keyOf(packId));
    const moves = await movePack(repository, { packId, kind: 'data' });
    await store.put(keyOf(packId), { buffers: [bytes] });
    packs.push([...moves.values()][0]!.packId);
  }
  const [first, second, third] = packs as [string, string, string];
  const isUsable = async (packId: string, condemned: Readonly<Record<string, 'unused' | 'moved'>>, slots = [0]) => {
    const packsCondemned = new Map(Object.entries(condemned).map(([pack, as]) => [pack, { moved: as === 'moved' }]));
    return await new CondemnedCheck(repository, packsCondemned, undefined).isUsable({ packId, kind: 'data', slots });
  };
  return { first, second, third, isUsable, remove: async (packId: string) => await store.delete(keyOf(packId)) };
}

test('a pack that is not condemned is usable, one condemned as unused is not', async () => {
  const { first, second, third, isUsable } = await movedTwice();
  for (const pack of [first, second, third]) {
    assert.equal(await isUsable(pack, {}), true);
    assert.equal(await isUsable(pack, { [pack]: 'unused' }), false);
    assert.equal(await isUsable(pack, { ['0'.repeat(64)]: 'unused' }), true);
  }
});

test('of a moved pack those slots are usable that lead to a pack that is there and stays', async () => {
  const { first, second, third, isUsable, remove } = await movedTwice();
  assert.equal(await isUsable(first, { [first]: 'moved' }), true);
  assert.equal(await isUsable(first, { [first]: 'moved' }, [0, 99]), false, 'a slot that was not forwarded');
  assert.equal(await isUsable(third, { [third]: 'moved' }), false);
  assert.equal(await isUsable(first, { [first]: 'moved', [second]: 'moved' }), true, 'the third one stays');
  assert.equal(await isUsable(first, { [first]: 'moved', [second]: 'moved', [third]: 'moved' }), false);
  assert.equal(await isUsable(first, { [first]: 'moved', [second]: 'moved', [third]: 'unused' }), false);
  await remove(third);
  assert.equal(await isUsable(first, { [first]: 'moved' }), true, 'the second one stays');
  assert.equal(await isUsable(first, { [first]: 'moved', [second]: 'moved' }), false);
});

test('what leads on from a pack condemned as unused may go with it', async () => {
  const { first, second, isUsable } = await movedTwice();
  assert.equal(await isUsable(first, { [first]: 'moved', [second]: 'unused' }), false);
});

test('a pack that is gone already is only as good as what it leads to', async () => {
  const { first, second, third, isUsable, remove } = await movedTwice();
  await remove(first);
  assert.equal(await isUsable(first, { ['0'.repeat(64)]: 'unused' }), true);
  assert.equal(await isUsable(first, { [second]: 'moved' }), true);
  assert.equal(await isUsable(first, { [second]: 'moved', [third]: 'unused' }), false);
  assert.equal(await isUsable(first, { [second]: 'unused' }), false);
});

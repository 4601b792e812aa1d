/** The protocol of ADR 0007, exhaustively, with few actors; care-model.long.test.ts adds more, and removes each rule. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { search } from './spin-fixture.ts';

const nobody = { WRITERS: 1, KEEPERS: 1, FENCERS: 0, USERS: 0, READERS: 0, TARGETS: 1, RECORDS: 2 };

for (const [who, actors] of Object.entries({
  'a writer and a deduplicating one, a keeper, a user': { WRITERS: 3, USERS: 1 },
  'a reader, a writer, a keeper, a user': { READERS: 1, USERS: 1 },
  'a writer, a keeper that collects, two that fence': { FENCERS: 2 },
})) {
  test(`no interleaving breaks a promise: ${who}`, async () => {
    const { violated, states, trail } = await search('care.pml', { ...nobody, ...actors });
    assert.equal(violated, undefined, trail);
    assert.ok(states > 100_000, `${states} states are too few: somebody did not take part`);
  });
}

test('find suspects no session at work and no point that counts', async () => {
  const actors = { FENCERS: 1, USERS: 1, TARGETS: 2, FIND: true } as const;
  const { violated, trail } = await search('care.pml', { ...nobody, ...actors });
  assert.equal(violated, undefined, trail);
});

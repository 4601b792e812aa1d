/** Rule *forward* of ADR 0007, and without each of its parts: then spin must find what the part prevents. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { search } from './spin-fixture.ts';

const one = { COMPACTORS: 1, KEEPERS: 1, FENCERS: 0, EPOCHS: 2 };
const fenced = { ...one, FENCERS: 1 };
const keepers = { ...one, KEEPERS: 2 };
/** Two compactions, of which the second goes on where the first led. */
const chain = { ...one, COMPACTORS: 2, EPOCHS: 3 };
/** Two compactions, perhaps of one pack. 1.1 GiB. */
const duel = { ...one, COMPACTORS: 2, KEEPERS: 2 };
/** What has rotted is forwarded to where it is as well. */
const heal = { ...fenced, HEAL: true } as const;

for (const [name, actors] of Object.entries({
  chain,
  'fenced, two keepers': { ...fenced, KEEPERS: 2 },
  duel,
  heal: { ...heal, KEEPERS: 2 },
  'heal, compacted': { ...heal, COMPACTORS: 2 },
})) {
  test(`every slot that a point names can be read: ${name}`, async (context) => {
    const { violated, states, trail } = await search('forward.pml', actors);
    assert.equal(violated, undefined, trail);
    context.diagnostic(`${states} states`);
  });
}

for (const [rule, actors] of Object.entries({
  FOLLOW: one,
  ALL_FORWARDED: one,
  FORWARDING_KEPT: one,
  MOVED_FLAG: one,
  SETTLED: fenced,
  FORWARD_COMMIT: { ...fenced, KEEPERS: 2 },
  TARGET_CHECK: keepers,
  TARGET_STAYS: keepers,
  FRESH_GC: keepers,
  WHOLE_CHAIN: chain,
  NUMBER_ONCE: duel,
  HEAL_TARGET: heal,
})) {
  test(`without ${rule} a slot is lost`, async (context) => {
    const { violated, states } = await search('forward.pml', { ...actors, [`WITHOUT_${rule}`]: true });
    assert.match(violated ?? 'none', /new/);
    context.diagnostic(`${states} states`);
  });
}

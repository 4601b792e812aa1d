/** The protocol of ADR 0007 with more actors, and without each of its rules: then spin must find what the rule prevents. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Definitions, search } from './spin-fixture.ts';

const nobody = { WRITERS: 1, KEEPERS: 1, FENCERS: 0, USERS: 0, READERS: 0, TARGETS: 1, RECORDS: 2 };
/** Bits of TARGETS. */
const both = 3;

const fence = { ...nobody, FENCERS: 1, USERS: 1, TARGETS: both };
const users = { ...nobody, USERS: 2, TARGETS: both, RECORDS: 3 };
const keepers = { ...nobody, WRITERS: 2, KEEPERS: 2, USERS: 1 };
const writers = { ...nobody, WRITERS: 3, USERS: 1, TARGETS: both };
const reader = { ...nobody, READERS: 1, USERS: 1, TARGETS: both };
/** Two keepers, of which one carries on what the other began. */
const readers = { ...nobody, READERS: 1, USERS: 1, KEEPERS: 2 };
const find = { ...nobody, FIND: true } as const;

for (const [name, actors] of Object.entries({ fence, users, keepers, writers, reader, readers })) {
  test(`no interleaving breaks a promise: ${name}`, async (context) => {
    const { violated, states, trail } = await search('care.pml', actors);
    assert.equal(violated, undefined, trail);
    context.diagnostic(`${states} states`);
  });
}

const packs = /on0.*on1.*packs/;
const told = /told/;
const back = /back/;
const held = /held/;
const suspected = /list/;

/** Which promise spin sees broken. */
const rules: Readonly<Record<string, { readonly actors: Definitions; readonly broken: RegExp }>> = {
  SESSION_FIRST: { actors: writers, broken: packs },
  GC_FIRST: { actors: writers, broken: packs },
  BEGIN_CHECK: { actors: writers, broken: packs },
  PRESENCE: { actors: writers, broken: packs },
  SESSION_STAYS: { actors: fence, broken: packs },
  SETTLE: { actors: fence, broken: told },
  FENCE_FIRST: { actors: fence, broken: back },
  FENCE_KEPT: { actors: fence, broken: told },
  VERDICT_CREATE_ONLY: { actors: fence, broken: told },
  CONDEMN_FIRST: { actors: fence, broken: packs },
  WAIT: { actors: fence, broken: packs },
  WAIT_FOR_VERDICT: { actors: fence, broken: packs },
  DECIDE: { actors: fence, broken: packs },
  OUTCOME_CREATE_ONLY: { actors: keepers, broken: packs },
  OUTCOME_KEPT: { actors: keepers, broken: packs },
  UNIQUE_EPOCHS: { actors: keepers, broken: packs },
  SWEEP_ORDER: { actors: writers, broken: packs },
  TRASHED_LIVE: { actors: fence, broken: packs },
  NUMBERED: { actors: users, broken: back },
  PURGE_FIRST: { actors: users, broken: told },
  PURGING_KEPT: { actors: fence, broken: packs },
  UNDELETE_LOOK: { actors: fence, broken: back },
  READER_LOOK: { actors: reader, broken: held },
  READER_CHECK: { actors: reader, broken: held },
  FIND_ORDER: { actors: find, broken: suspected },
  NONCE: { actors: find, broken: suspected },
};

for (const [rule, { actors, broken }] of Object.entries(rules)) {
  test(`without ${rule} a promise is broken`, async (context) => {
    const { violated, states } = await search('care.pml', { ...actors, [`WITHOUT_${rule}`]: true });
    assert.match(violated ?? 'none', broken);
    context.diagnostic(`${states} states: ${violated}`);
  });
}

/** Both looks of *commit* save work, and are a second line; without one of them the rest still holds. */
for (const [rule, actors] of Object.entries({
  FENCE_CHECK: { ...nobody, FENCERS: 1 },
  CONDEMNED_CHECK: { ...nobody, WRITERS: 3, USERS: 1 },
})) {
  test(`without ${rule} no promise is broken`, async () => {
    const { violated, trail } = await search('care.pml', { ...actors, [`WITHOUT_${rule}`]: true });
    assert.equal(violated, undefined, trail);
  });
}

test('what the protocol relies on: a pack does not land again once it was deleted', async () => {
  const { violated } = await search('care.pml', { ...keepers, PACK_LANDS_AGAIN: true });
  assert.match(violated ?? 'none', packs);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type AuditContent,
  type AuditLink,
  chainStart,
  follows,
  type LinkedAuditEvent,
  linkEvent,
} from './audit-chain.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 8 });
const content: fc.Arbitrary<Omit<AuditContent, 'seq'>> = fc.record({
  atMs: fc.nat(),
  accountId: fc.option(text),
  actorKind: fc.constantFrom('user', 'token', 'agent', 'system'),
  actorId: fc.option(text),
  action: text,
  resource: fc.option(text),
  details: fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue({ maxDepth: 2 })),
});

function chainOf(contents: readonly Omit<AuditContent, 'seq'>[]): LinkedAuditEvent[] {
  const chain: LinkedAuditEvent[] = [];
  for (const next of contents) chain.push(linkEvent(chain.at(-1) ?? chainStart, next));
  return chain;
}

/** seq of the first event that does not follow. */
function brokenAt(chain: readonly LinkedAuditEvent[]): number | undefined {
  let before: AuditLink = chainStart;
  for (const event of chain) {
    if (!follows(before, event)) return event.seq;
    before = event;
  }
  return undefined;
}

test('a chain holds, also when keys come back in another order', () => {
  fc.assert(
    fc.property(fc.array(content, { maxLength: 8 }), (contents) => {
      const kept = chainOf(contents).map((event) => {
        const details = Object.fromEntries(Object.entries(event.details).toReversed());
        return { ...event, details };
      });
      assert.equal(brokenAt(kept), undefined);
    }),
  );
});

test('a field that changed, an event that is gone, doubled or swapped, and one put in between are noticed', () => {
  const tampering = fc.constantFrom<(chain: LinkedAuditEvent[], at: number) => void>(
    (chain, at) => chain.splice(at, 1),
    (chain, at) => chain.splice(at, 0, chain[at]!),
    (chain, at) => chain.splice(at, 2, chain[at + 1]!, chain[at]!),
    (chain, at) => chain.splice(at, 1, { ...chain[at]!, action: `${chain[at]!.action}!` }),
    (chain, at) => chain.splice(at, 1, { ...chain[at]!, atMs: chain[at]!.atMs + 1 }),
    (chain, at) => chain.splice(at, 1, { ...chain[at]!, accountId: 'acc_other' }),
    (chain, at) => chain.splice(at, 1, { ...chain[at]!, details: { ...chain[at]!.details, ['']: 1 } }),
    (chain, at) => chain.splice(at, 1, { ...chain[at]!, actorId: 'usr_other' }),
    (chain, at) => chain.splice(at, 0, linkEvent(chain[at]!, { ...chain[at]! })),
  );
  fc.assert(
    fc.property(fc.array(content, { minLength: 3, maxLength: 8 }), fc.nat(), tampering, (contents, where, tamper) => {
      const chain = chainOf(contents);
      // The last event is another matter: cutting the end off shows only against a head kept elsewhere.
      tamper(chain, where % (chain.length - 2));
      assert.ok(brokenAt(chain) !== undefined);
    }),
  );
});

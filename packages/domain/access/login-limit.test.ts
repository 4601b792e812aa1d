import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Attempt, attemptLimits, attemptWindowMs, clientOf, waitBeforeAttempt } from './login-limit.ts';

const nowMs = 1_000_000_000_000;
const attempt: fc.Arbitrary<Attempt> = fc.record({
  email: fc.constantFrom('ann', 'bob', 'eve'),
  client: fc.constantFrom('one', 'two'),
  atMs: fc.integer({ min: nowMs - 2 * attemptWindowMs, max: nowMs }),
});

test('it has to be waited exactly until no limit is passed any more', () => {
  fc.assert(
    fc.property(fc.array(attempt, { maxLength: 120 }), (attempts) => {
      const waitMs = waitBeforeAttempt({ email: 'ann', client: 'one', attempts, nowMs });
      const isFree = (atMs: number) => {
        const within = attempts.filter((one) => one.atMs > atMs - attemptWindowMs);
        const same = (email: boolean, client: boolean) =>
          within.filter((one) => (!email || one.email === 'ann') && (!client || one.client === 'one')).length;
        return (
          same(true, true) <= attemptLimits.sameClient &&
          same(true, false) <= attemptLimits.sameAddress &&
          same(false, true) <= attemptLimits.anyAddress
        );
      };
      assert.ok(isFree(nowMs + waitMs));
      if (waitMs > 1) assert.ok(!isFree(nowMs + waitMs - 1), 'not longer than needed');
      assert.equal(waitMs === 0, isFree(nowMs));
    }),
  );
});

for (const [ip, client] of [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:0DB8:0:0:ffff::', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
] as const) {
  test(`${ip} is the client ${client}`, () => assert.equal(clientOf(ip), client));
}

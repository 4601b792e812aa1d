import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Secret, TOTP } from 'otpauth';
import { newTotpSecret, stepOfCode } from './totp.ts';

// RFC 6238, appendix B: SHA-1, the last six of the eight digits.
const rfcSecret = Secret.fromUTF8('12345678901234567890').base32;

for (const [second, code] of [
  [59, '287082'],
  [1_111_111_109, '081804'],
  [1_234_567_890, '005924'],
  [20_000_000_000, '353130'],
] as const) {
  test(`the code of the RFC at second ${second} is right`, () => {
    const nowMs = second * 1000;
    const step = Math.floor(second / 30);
    assert.equal(stepOfCode({ secret: rfcSecret, code, lastStep: null, nowMs }), step);
    assert.equal(stepOfCode({ secret: rfcSecret, code, lastStep: step - 1, nowMs }), step);
    assert.equal(stepOfCode({ secret: rfcSecret, code, lastStep: step, nowMs }), undefined, 'used');
    assert.equal(stepOfCode({ secret: rfcSecret, code, lastStep: null, nowMs: nowMs + 90_000 }), undefined, 'too late');
  });
}

test('a code counts a period early and late, and once', () => {
  const { secret, uri } = newTotpSecret('ann@example.com');
  assert.match(uri, /^otpauth:\/\/totp\/Holdfast:ann%40example\.com\?/);
  const totp = new TOTP({ secret, algorithm: 'SHA1', digits: 6, period: 30 });
  fc.assert(
    fc.property(fc.integer({ min: 1e9, max: 4e9 }), fc.integer({ min: -3, max: 3 }), (second, periods) => {
      const code = totp.generate({ timestamp: (second + periods * 30) * 1000 });
      const found = stepOfCode({ secret, code, lastStep: null, nowMs: second * 1000 });
      // One code in a million is that of another step too.
      if (Math.abs(periods) <= 1) assert.ok(found !== undefined);
      else if (found !== undefined) assert.notEqual(found, Math.floor(second / 30) + periods);
    }),
  );
});

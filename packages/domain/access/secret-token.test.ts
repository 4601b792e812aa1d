import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hashOfSecret, isApiToken, newApiToken, newPassword, newSessionSecret } from './secret-token.ts';

test('a token has its form, its sum and its hash', () => {
  for (let turn = 0; turn < 200; turn += 1) {
    const { token, hint, hash } = newApiToken();
    assert.match(token, /^hf_[0-9A-Za-z]{49}$/);
    assert.ok(isApiToken(token));
    assert.equal(hint, token.slice(0, 7));
    assert.equal(hash, hashOfSecret(token));
  }
});

test('one wrong, missing or further character is noticed', () => {
  const { token } = newApiToken();
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.string({ minLength: 0, maxLength: 2 }), (at, other) => {
      const changed = token.slice(0, at) + other + token.slice(at + 1);
      assert.equal(isApiToken(changed), changed === token);
    }),
    { numRuns: 2000 },
  );
  assert.equal(isApiToken(`${token}\n`), false);
  assert.equal(isApiToken(''), false);
});

test('secrets and passwords are new each time', () => {
  const made = Array.from({ length: 500 }, () => [
    newApiToken().token,
    newSessionSecret().secret,
    newPassword(),
  ]).flat();
  assert.equal(new Set(made).size, made.length);
  for (const password of made.filter((_, index) => index % 3 === 2)) {
    assert.match(password, /^([a-z2-9]{6}-){3}[a-z2-9]{6}$/);
    assert.doesNotMatch(password, /[il01o]/);
  }
});

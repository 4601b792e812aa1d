import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { Seal } from './sealed.ts';

const isWrong = (error: unknown) => hasCode(error, 'server_key_wrong');

test('what was sealed opens in its place', () => {
  const seal = new Seal(randomBytes(32));
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (secret, place) => {
      assert.equal(seal.open(place, seal.seal(place, secret)), secret);
    }),
  );
});

test('with another key, in another place, or changed in any byte it does not', () => {
  const seal = new Seal(randomBytes(32));
  const sealed = seal.seal('totp:usr_1', 'a secret');
  const bytes = Buffer.from(sealed, 'base64');
  assert.ok(!bytes.includes('a secret'));
  assert.throws(() => new Seal(randomBytes(32)).open('totp:usr_1', sealed), isWrong);
  assert.throws(() => seal.open('totp:usr_2', sealed), isWrong);
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    assert.throws(() => seal.open('totp:usr_1', changed.toString('base64')), isWrong);
    assert.throws(() => seal.open('totp:usr_1', bytes.subarray(0, at).toString('base64')), isWrong);
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { topicPattern } from './event.ts';
import { email, newPassword } from './user.ts';
import { idOf, label, locale, time, timeZone } from './values.ts';

const hex = '01932b6f3a7c7b1e9f00c2d4e6a81b35';

for (const [what, schema, good, bad] of [
  ['an id', idOf('usr'), [`usr_${hex}`], [`acc_${hex}`, `usr_${hex}0`, `usr_${hex.toUpperCase()}`, `usr_${hex}\n`, 7]],
  ['a label', label(5), ['a', 'äöü 1'], ['', '  ', 'abcdef', 'a\nb', 'a\u0000b']],
  ['a time zone', timeZone, ['UTC', 'Europe/Berlin', 'Asia/Kolkata'], ['', 'Mars/Base', '+02:00', 'Europe/Berlin ', 2]],
  ['a locale', locale, ['en', 'pt-BR'], ['', 'not a tag', 'e']],
  [
    'a time',
    time,
    ['2026-11-21T22:50:00Z', '2026-11-21T22:50:00.123Z'],
    ['2026-11-21', '2026-11-21T22:50:00+01:00', 1],
  ],
  ['an address', email, ['a@b.de', ' A@B.DE '], ['a', 'a@b', 'a b@c.de', '']],
  ['a new password', newPassword, ['twelve chars', 'x'.repeat(256)], ['short', 'x'.repeat(257)]],
] as const) {
  test(`${what} is taken or refused`, () => {
    for (const value of good) assert.ok(schema.safeParse(value).success, value);
    for (const value of bad) assert.ok(!schema.safeParse(value).success, String(value));
  });
}

test('an address is one however it is typed', () => {
  assert.equal(email.parse(' Ann@Example.COM '), 'ann@example.com');
});

test('topics are of a kind, of all of a kind, or exact', () => {
  for (const topic of ['user.created', 'user.*', 'user', 'api_token.revoked']) assert.match(topic, topicPattern);
  for (const topic of ['*', 'user.', '.x', 'User.created', 'a.b.c', 'a b']) assert.doesNotMatch(topic, topicPattern);
});

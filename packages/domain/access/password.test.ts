import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PasswordHasher } from './password.ts';

test('a password opens its own hash and no other', async () => {
  const hasher = new PasswordHasher();
  const kept = await hasher.hash('correct horse battery');
  assert.match(kept, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.ok(await hasher.verify('correct horse battery', kept));
  for (const wrong of ['correct horse batterz', '', 'Correct horse battery', 'correct horse battery ']) {
    assert.equal(await hasher.verify(wrong, kept), false);
  }
  assert.notEqual(await hasher.hash('correct horse battery'), kept, 'each hash has a salt of its own');
});

test('letters that look the same are the same', async () => {
  const hasher = new PasswordHasher();
  assert.ok(await hasher.verify('Zu\u0308rich am See', await hasher.hash('Z\u00fcrich am See')));
});

test('a hash made by another implementation with other parameters opens', async () => {
  // Of the reference implementation's own tests (phc-winner-argon2, src/test.c).
  for (const kept of [
    '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
    '$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc',
  ]) {
    assert.ok(await new PasswordHasher().verify('password', kept));
    assert.equal(await new PasswordHasher().verify('passwore', kept), false);
  }
});

test('nobody has no password, and it takes as long to find out', async () => {
  const hasher = new PasswordHasher();
  const kept = await hasher.hash('some password');
  await hasher.verify('x', undefined);
  const time = async (text: string | undefined) => {
    const startedMs = performance.now();
    for (let turn = 0; turn < 5; turn += 1) assert.equal(await hasher.verify('wrong', text), false);
    return performance.now() - startedMs;
  };
  const [somebody, nobody] = [await time(kept), await time(undefined)];
  assert.ok(nobody > somebody / 3, `${nobody} ms against ${somebody} ms`);
});

test('many at once are all answered', async () => {
  const hasher = new PasswordHasher();
  const kept = await hasher.hash('some password');
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, index) => hasher.verify(index % 2 === 0 ? 'some password' : 'wrong', kept)),
  );
  assert.deepEqual(answers, [true, false, true, false, true, false, true, false]);
});

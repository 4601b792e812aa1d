import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { MemoryStore } from '@holdfast/testing';
import { initRepository, openRepository } from './repository.ts';

test('of two inits at once one wins, and its passphrase alone opens the repository', async () => {
  const passphrases = ['first', 'second', undefined];
  for (let round = 0; round < 3; round += 1) {
    const store = new MemoryStore();
    const ends = await Promise.allSettled(passphrases.map((passphrase) => initRepository({ store, passphrase })));
    const winners = passphrases.filter((_, index) => ends[index]!.status === 'fulfilled');
    assert.equal(winners.length, 1);
    for (const end of ends) {
      if (end.status === 'rejected') assert.ok(hasCode(end.reason, 'repository_exists'));
    }
    const repository = await openRepository({ store, passphrase: winners[0] });
    assert.equal(repository.keys.encryptionKey !== undefined, winners[0] !== undefined);
    for (const passphrase of passphrases.filter(
      (one) => one !== undefined && winners[0] !== undefined && one !== winners[0],
    )) {
      await assert.rejects(openRepository({ store, passphrase }), (error) => hasCode(error, 'key_wrong'));
    }
  }
});

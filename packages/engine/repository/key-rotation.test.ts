/** Passphrases come and go; some passphrase that was proved opens the repository at every moment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, systemClock } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { crashAt, faultyStore, MemoryStore, SimulatedCrash } from '@holdfast/testing';
import { removeKey, rotateKey } from './key-rotation.ts';
import { keyRecordKey } from './layout.ts';
import { initRepository, openRepository, putKeyRecord, readKeyRecords, unlockSecret } from './repository.ts';

const clock = systemClock;

/** Trying a passphrase hundreds of times must not take minutes; the records are the same in everything else. */
const stretching = { memoryKib: 8, passes: 1, lanes: 1 };

/** Encrypted, opened by these passphrases. Answers the key ids in their order. */
async function locked(...passphrases: readonly string[]) {
  const store = new MemoryStore();
  await initRepository({ store, passphrase: 'to begin with' });
  const secret = await unlockSecret({ store, passphrase: 'to begin with' });
  const [first] = await idsIn(store);
  const ids: string[] = [];
  for (const passphrase of passphrases) {
    ids.push(await putKeyRecord({ store, secret, passphrase, label: `of ${passphrase}`, stretching, clock }));
  }
  await store.delete(keyRecordKey(first!));
  return { store, secret, ids };
}

async function opensWith(store: BlobStore, passphrase: string): Promise<boolean> {
  try {
    await openRepository({ store, passphrase });
    return true;
  } catch (error) {
    if (hasCode(error, 'key_wrong', 'key_missing')) return false;
    throw error;
  }
}

const idsIn = async (store: BlobStore) => (await readKeyRecords({ store })).map(({ id }) => id);

test('a rotated passphrase opens nothing any more, the new one the same secret, and others stay', async () => {
  const { store, secret, ids } = await locked('old', 'other');
  const { key, replaced } = await rotateKey({ store, passphrase: 'old', newPassphrase: 'new', stretching });
  assert.deepEqual(replaced, [ids[0]]);
  assert.deepEqual((await idsIn(store)).toSorted(), [ids[1]!, key].toSorted());
  assert.equal(await opensWith(store, 'old'), false);
  for (const passphrase of ['new', 'other']) assert.deepEqual(await unlockSecret({ store, passphrase }), secret);
  const labels = (await readKeyRecords({ store })).map(({ id, label }) => [id, label]);
  assert.equal(Object.fromEntries(labels)[key], 'of old');
});

test('every record of the old passphrase is replaced', async () => {
  const { store, ids } = await locked('old', 'old');
  const { key, replaced } = await rotateKey({
    store,
    passphrase: 'old',
    newPassphrase: 'new',
    label: 'mine',
    stretching,
  });
  assert.deepEqual(replaced.toSorted(), ids.toSorted());
  assert.deepEqual(await idsIn(store), [key]);
});

test('what cannot be rotated is refused, and everything opens as before', async () => {
  const { store } = await locked('old');
  const before = store.objects();
  const rotate = (passphrase: string | undefined, newPassphrase: string) =>
    rotateKey({ store, passphrase, newPassphrase });
  await assert.rejects(rotate('wrong', 'new'), (error) => hasCode(error, 'key_wrong'));
  await assert.rejects(rotate(undefined, 'new'), (error) => hasCode(error, 'key_required'));
  await assert.rejects(rotate('old', 'old'), (error) => hasCode(error, 'usage'));
  assert.deepEqual(store.objects(), before);
  const open = new MemoryStore();
  await initRepository({ store: open });
  await assert.rejects(rotateKey({ store: open, passphrase: undefined, newPassphrase: 'new', stretching }), (error) =>
    hasCode(error, 'usage'),
  );
});

test('a new record that the storage does not give back as it was put costs no old one', async () => {
  const { store, ids } = await locked('old', 'other');
  const mixedUp: BlobStore = {
    ...through(store),
    // Gives the other passphrase's record for whatever was put last.
    get: async (key, options) => {
      const known = key === 'repo.json' || ids.some((id) => key === keyRecordKey(id));
      return await store.get(known ? key : keyRecordKey(ids[1]!), options);
    },
  };
  await assert.rejects(rotateKey({ store: mixedUp, passphrase: 'old', newPassphrase: 'new', stretching }), (error) =>
    hasCode(error, 'storage_contract_broken'),
  );
  assert.equal(await opensWith(store, 'old'), true);
});

for (const when of ['before', 'partial', 'after'] as const) {
  test(`a rotation that dies at any storage call (${when}) leaves a passphrase that opens, and is finished by the next`, async () => {
    const { store: start, secret } = await locked('old');
    for (let call = 1; ; call += 1) {
      const store = start.clone();
      const dying = faultyStore({ store, script: crashAt(call, when) });
      const rotate = (through: BlobStore) =>
        rotateKey({ store: through, passphrase: 'old', newPassphrase: 'new', stretching });
      const error = await rotate(dying).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      const [old, next] = [await opensWith(store, 'old'), await opensWith(store, 'new')];
      assert.ok(old || next, `call ${call}: nothing opens`);
      if (error === undefined) {
        assert.ok(call > 6, `only ${call} calls`);
        assert.deepEqual([old, next], [false, true]);
        break;
      }
      assert.ok(error instanceof SimulatedCrash);
      if (old) await rotate(store);
      assert.deepEqual(await unlockSecret({ store, passphrase: 'new' }), secret);
      assert.equal((await idsIn(store)).length, 1, `call ${call}: a record is left behind`);
    }
  });
}

test('a key is removed with the passphrase of one that stays, and then opens nothing', async () => {
  const { store, ids } = await locked('mine', 'theirs');
  await removeKey({ store, passphrase: 'mine', key: ids[1]! });
  assert.deepEqual(await idsIn(store), [ids[0]]);
  assert.equal(await opensWith(store, 'theirs'), false);
  assert.equal(await opensWith(store, 'mine'), true);
});

test('the last key stays, and so does the only one that is known to open', async () => {
  const { store, ids } = await locked('mine', 'theirs');
  const remove = (passphrase: string | undefined, key: string) => removeKey({ store, passphrase, key });
  await assert.rejects(remove('mine', ids[0]!), (error) => hasCode(error, 'last_key'));
  await assert.rejects(remove('nobody', ids[0]!), (error) => hasCode(error, 'key_wrong'));
  await assert.rejects(remove(undefined, ids[0]!), (error) => hasCode(error, 'key_required'));
  await assert.rejects(remove('mine', `key_${'0'.repeat(32)}`), (error) => hasCode(error, 'usage'));
  assert.equal((await idsIn(store)).length, 2);
  await remove('theirs', ids[0]!);
  await assert.rejects(remove('theirs', ids[1]!), (error) => hasCode(error, 'last_key'));
  assert.deepEqual(await idsIn(store), [ids[1]]);
});

test('a record that a lost init left behind counts as no key', async () => {
  const { store, ids } = await locked('mine');
  const [lost] = (await locked('lost')).store.objects();
  await store.put(lost![0], { buffers: [lost![1]] });
  await assert.rejects(removeKey({ store, passphrase: 'mine', key: ids[0]! }), (error) => hasCode(error, 'last_key'));
  await removeKey({ store, passphrase: 'mine', key: lost![0].slice('keys/'.length) });
  assert.deepEqual(await idsIn(store), ids);
});

test('of two removals at once that count on each other, a key is left', async () => {
  const { store, ids } = await locked('one', 'two');
  const ends = await Promise.allSettled([
    removeKey({ store, passphrase: 'one', key: ids[1]! }),
    removeKey({ store, passphrase: 'two', key: ids[0]! }),
  ]);
  assert.ok((await idsIn(store)).length > 0);
  for (const end of ends) {
    if (end.status === 'rejected') assert.ok(hasCode(end.reason, 'last_key', 'object_not_found'), String(end.reason));
  }
  assert.ok((await opensWith(store, 'one')) || (await opensWith(store, 'two')));
});

/** The store as an object of its own, so that single calls can be replaced. */
function through(store: BlobStore): BlobStore {
  return {
    capabilities: store.capabilities,
    put: (key, body, options) => store.put(key, body, options),
    get: (key, options) => store.get(key, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (key, options) => store.delete(key, options),
    head: (key, options) => store.head(key, options),
    [Symbol.asyncDispose]: async () => {},
  };
}

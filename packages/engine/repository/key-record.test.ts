import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { deriveDomainKeys } from './domain-keys.ts';
import { decodeDocument, encodeDocument } from './document.ts';
import { type DomainSecret, type KeyRecord, keyRecordSchema, unwrapSecret, wrapSecret } from './key-record.ts';

const secret: DomainSecret = { domain: 'default', epoch: 1, encrypted: true, secret: randomBytes(32) };

async function recordOf(passphrase: string | undefined): Promise<KeyRecord> {
  const { id, document } = await wrapSecret(secret, { passphrase, label: 'a label', nowMs: 0 });
  const record = decodeDocument(id, encodeDocument(document), keyRecordSchema);
  assert.equal(record.id, id);
  return record;
}

test('a secret opens with its passphrase, in any Unicode form, and with no other', async () => {
  const record = await recordOf('caf\u00e9 passphrase');
  assert.deepEqual(await unwrapSecret(record, 'caf\u00e9 passphrase'), secret);
  assert.deepEqual(await unwrapSecret(record, 'cafe\u0301 passphrase'), secret);
  assert.equal(await unwrapSecret(record, 'cafe passphrase'), undefined);
  assert.equal(await unwrapSecret(record, ''), undefined);
  await assert.rejects(unwrapSecret(record, undefined), (error) => hasCode(error, 'key_required'));
});

test('a record does not open for another domain, epoch or purpose than it was made for', async () => {
  const record = await recordOf('passphrase');
  for (const change of [{ domain: 'other' }, { epoch: 2 }, { encrypted: false }, { id: `key_${'0'.repeat(32)}` }]) {
    assert.equal(await unwrapSecret({ ...record, ...change }, 'passphrase'), undefined);
  }
});

test('without a passphrase the secret is in the record', async () => {
  const record = await recordOf(undefined);
  assert.deepEqual(await unwrapSecret(record, undefined), secret);
  assert.deepEqual(await unwrapSecret(record, 'whatever'), secret);
});

test('the stored record holds neither passphrase nor secret', async () => {
  const { document } = await wrapSecret(secret, { passphrase: 'telling', label: '', nowMs: 0 });
  const stored = JSON.stringify(document);
  assert.ok(!stored.includes('telling') && !stored.includes(secret.secret.toString('base64')));
});

test('the keys of a domain differ by purpose, domain and secret; of an epoch, only encryption does', () => {
  const input = { domain: 'default', epoch: 1, secret: secret.secret, encrypted: true };
  const all = [input, { ...input, domain: 'other' }, { ...input, secret: Buffer.alloc(32) }].flatMap((one) => {
    const { dataIdKey, metaIdKey, macKey, encryptionKey } = deriveDomainKeys(one);
    return [dataIdKey, metaIdKey, macKey, encryptionKey!].map((key) => key.toString('hex'));
  });
  assert.equal(new Set(all).size, 12);
  const [first, second] = [deriveDomainKeys(input), deriveDomainKeys({ ...input, epoch: 2 })];
  assert.ok(first.dataIdKey.equals(second.dataIdKey) && !first.encryptionKey!.equals(second.encryptionKey!));
  assert.equal(deriveDomainKeys({ ...input, encrypted: false }).encryptionKey, undefined);
});

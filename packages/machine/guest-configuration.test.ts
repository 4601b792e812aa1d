import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hasCode, MiB } from '@holdfast/base';
import { backup, initRepository, openRepository } from '@holdfast/engine';
import { MemoryDisk, MemorySource, MemoryStore } from '@holdfast/testing';
import fc from 'fast-check';
import {
  decodeGuestConfiguration,
  encodeGuestConfiguration,
  type GuestConfiguration,
  type GuestDiskSource,
  guestConfigurationOf,
} from './guest-configuration.ts';

/** Objects like any other, which compare equal to those that JSON makes. */
const record = <Fields>(model: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> }) =>
  fc.record(model, { noNullPrototype: true });
const text = fc.string({ unit: 'grapheme', minLength: 1 });
const content = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const source: fc.Arbitrary<GuestDiskSource> = fc.oneof(
  record({ kind: fc.constantFrom('file', 'block'), path: text }),
  record({ kind: fc.constant('rbd'), pool: text, image: text }),
  record({ kind: fc.constant('other'), name: text }),
  record({ kind: fc.constant('volume'), pool: text, volume: text }),
);
const segment = fc.stringMatching(/^[a-z0-9][a-z0-9.-]*$/);

const configuration: fc.Arbitrary<GuestConfiguration> = record({
  name: text,
  uuid: fc.uuid(),
  domain_xml: text,
  nvram: fc.option(content),
  tpm_state: fc.option(
    fc.array(
      record({ path: fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')), content }),
    ),
  ),
  disks: fc.array(
    record({
      name: fc.stringMatching(/^[a-z][a-z0-9]{0,31}$/),
      bus: fc.option(fc.constantFrom('virtio', 'scsi')),
      format: fc.constantFrom('qcow2', 'raw'),
      source,
      backing: fc.array(record({ format: text, source }), { maxLength: 2 }),
    }),
    { maxLength: 3 },
  ),
});

const example: GuestConfiguration = {
  name: 'web 1',
  uuid: '7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee',
  domain_xml: '<domain/>',
  nvram: Buffer.from([0, 255]),
  tpm_state: [{ path: 'tpm2/tpm2-00.permall', content: Buffer.from('state') }],
  disks: [{ name: 'vda', bus: 'virtio', format: 'qcow2', source: { kind: 'file', path: '/a.qcow2' }, backing: [] }],
};

test('a configuration reads back as it was written', () => {
  fc.assert(
    fc.property(configuration, (written) => {
      assert.deepEqual(decodeGuestConfiguration('bkp_1', encodeGuestConfiguration(written)), written);
    }),
  );
});

test('the wire format of version 1 stays what it is', () => {
  assert.deepEqual(JSON.parse(encodeGuestConfiguration(example).toString('utf8')), {
    version: 1,
    name: 'web 1',
    uuid: '7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee',
    domain_xml: '<domain/>',
    nvram: 'AP8=',
    tpm_state: [{ path: 'tpm2/tpm2-00.permall', content: 'c3RhdGU=' }],
    disks: [{ name: 'vda', bus: 'virtio', format: 'qcow2', source: { kind: 'file', path: '/a.qcow2' }, backing: [] }],
  });
});

test('a document of a newer version is told from one that is not ours', () => {
  const newer = Buffer.from(JSON.stringify({ version: 2, machine: {} }));
  assert.throws(() => decodeGuestConfiguration('bkp_1', newer), isCode('repository_newer'));
  for (const document of [
    '<domain/>',
    '[]',
    'null',
    '{"version":1}',
    JSON.stringify({ ...example, version: 1, x: 1 }),
  ]) {
    assert.throws(() => decodeGuestConfiguration('bkp_1', Buffer.from(document)), isCode('repository_damaged'));
  }
});

test('no file of a TPM can be written outside of its directory', () => {
  for (const path of ['/etc/passwd', '../x', 'a/../../x', 'a/..', '.', '', 'a//b', 'a/', 'a\0b']) {
    const document = JSON.parse(encodeGuestConfiguration(example).toString('utf8'));
    document.tpm_state[0].path = path;
    const bytes = Buffer.from(JSON.stringify(document));
    assert.throws(() => decodeGuestConfiguration('bkp_1', bytes), isCode('repository_damaged'), path);
  }
});

test('a point keeps it, however large the state of a TPM is; a point of a volume has none', async () => {
  const store = new MemoryStore();
  await initRepository({ store });
  const repository = await openRepository({ store });
  const disks = [{ name: 'vda', source: new MemorySource({ disk: new MemoryDisk(64 * 1024) }) }];
  const large = { ...example, nvram: randomBytes(2 * MiB) };
  const { point } = await backup({
    repository,
    resource: 'instances/web',
    disks,
    guestConfiguration: encodeGuestConfiguration(large),
  });
  assert.deepEqual(await guestConfigurationOf({ repository, point }), large);
  const plain = await backup({ repository, resource: 'volumes/web', disks });
  assert.equal(await guestConfigurationOf({ repository, point: plain.point }), undefined);
});

function isCode(code: 'repository_newer' | 'repository_damaged'): (error: unknown) => boolean {
  return (error) => hasCode(error, code) && error.message.includes('bkp_1');
}

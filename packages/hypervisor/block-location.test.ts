import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { formatNbdUri, parseBlockLocation } from './block-location.ts';

test('a path is a path, relative ones from the current directory', () => {
  assert.deepEqual(parseBlockLocation('/images/a b.raw'), { kind: 'file', path: '/images/a b.raw' });
  assert.deepEqual(parseBlockLocation('disk:1.qcow2'), { kind: 'file', path: resolve('disk:1.qcow2') });
  assert.deepEqual(parseBlockLocation('file:///images/a%20b.raw'), { kind: 'file', path: '/images/a b.raw' });
});

test('NBD URIs give address and export', () => {
  assert.deepEqual(parseBlockLocation('nbd://host/vda'), {
    kind: 'nbd',
    address: { kind: 'tcp', host: 'host', port: 10809 },
    exportName: 'vda',
  });
  assert.deepEqual(parseBlockLocation('nbd://[::1]:99/'), {
    kind: 'nbd',
    address: { kind: 'tcp', host: '::1', port: 99 },
    exportName: '',
  });
  assert.deepEqual(parseBlockLocation('nbd+unix:///my%2Fdisk?socket=/run/x.sock'), {
    kind: 'nbd',
    address: { kind: 'unix', socketPath: '/run/x.sock' },
    exportName: 'my/disk',
  });
});

test('what names no disk is a usage error', () => {
  const wrong = [
    '',
    'rbd:pool/image',
    'nbds://h/x',
    'nbd:unix:/x',
    'nbd:///x',
    'nbd+unix:///x',
    'nbd+unix:///x?socket=rel',
    'nbd+unix://host/x?socket=/s',
    'nbd://h/x?socket=/s',
    'nbd://h/x?tls=1',
    'nbd://h/%zz',
    'nbd://u@h/x',
    'http://h/x',
    'file://host/x',
    'a\0b',
  ];
  for (const text of wrong)
    assert.throws(
      () => parseBlockLocation(text),
      (e) => hasCode(e, 'usage'),
      text,
    );
});

test('every address and export name survives being written as a URI', () => {
  const names = fc
    .string({ unit: 'grapheme', maxLength: 20 })
    .filter((name) => !name.includes('\0') && name !== '.' && name !== '..');
  const address = fc.oneof(
    fc.record({
      kind: fc.constant('unix' as const),
      socketPath: names.map((name) => `/${name}`),
    }),
    fc.record({
      kind: fc.constant('tcp' as const),
      host: fc.constantFrom('127.0.0.1', '::1', 'host.example'),
      port: fc.integer({ min: 1, max: 65535 }),
    }),
  );
  fc.assert(
    fc.property(address, names, (address, exportName) => {
      const parsed = parseBlockLocation(formatNbdUri(address, exportName));
      assert.deepEqual(parsed, { kind: 'nbd', address: { ...address }, exportName });
    }),
  );
});

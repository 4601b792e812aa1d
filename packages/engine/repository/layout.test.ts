import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, newId } from '@holdfast/base';
import { assertKeyPrefix, assertObjectKey } from '@holdfast/storage';
import fc from 'fast-check';
import {
  checkResource,
  fenceKey,
  indexPrefix,
  keyRecordKey,
  packKey,
  packsPrefix,
  parsePointKey,
  pointKey,
  pointsPrefix,
  pointTimestamp,
  repositoryKey,
  sessionKey,
  sessionSpillPrefix,
} from './layout.ts';

const resource = fc
  .tuple(fc.constantFrom('volumes', 'instances'), fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/))
  .map((parts) => parts.join('/'));
const createdAtMs = fc.integer({ min: 0, max: 4e12 });

test('a point key gives resource and id back, and every key is one that a storage takes', () => {
  fc.assert(
    fc.property(resource, createdAtMs, (name, ms) => {
      const pointId = newId('bkp');
      const key = pointKey({ domain: 'default', resource: checkResource(name), createdAtMs: ms, pointId });
      assertObjectKey(key);
      assert.ok(key.startsWith(pointsPrefix('default', name)));
      assert.deepEqual(parsePointKey('default', key), { resource: name, pointId });
    }),
  );
  const packId = 'ab'.repeat(32);
  for (const key of [repositoryKey, keyRecordKey(newId('key')), sessionKey(newId('ses')), fenceKey(newId('ses'))]) {
    assertObjectKey(key);
  }
  for (const kind of ['data', 'meta'] as const) {
    assert.equal(packKey({ domain: 'default', kind, packId }), `${packsPrefix('default', kind)}ab/${packId}`);
    assertObjectKey(packKey({ domain: 'default', kind, packId }));
  }
  assertKeyPrefix(indexPrefix('default'));
  assertObjectKey(`${sessionSpillPrefix(newId('ses'))}0`);
});

test('keys of points sort by time', () => {
  fc.assert(
    fc.property(createdAtMs, createdAtMs, (left, right) => {
      const [early, late] = [pointTimestamp(Math.min(left, right)), pointTimestamp(Math.max(left, right))];
      assert.ok(early <= late);
      assert.match(early, /^\d{8}T\d{6}Z$/);
    }),
  );
});

test('keys that are no points are not taken for points', () => {
  const key = pointKey({ domain: 'default', resource: 'volumes/a', createdAtMs: 0, pointId: newId('bkp') });
  for (const other of [
    `${key}x`,
    key.slice(0, -1),
    key.replace('bkp_', 'ser_'),
    key.replace('T', ' '),
    `${key}/more`,
  ]) {
    assert.equal(parsePointKey('default', other), undefined, other);
  }
});

test('resource names that could leave their folder are refused', () => {
  for (const name of [
    '',
    'a',
    'volumes',
    'volumes/',
    'disks/a',
    'volumes/.a',
    'volumes/a/b',
    'volumes/..',
    'volumes/ä',
    `volumes/${'a'.repeat(129)}`,
    'volumes/a\n',
  ]) {
    assert.throws(
      () => checkResource(name),
      (error) => hasCode(error, 'resource_invalid'),
      name,
    );
  }
});

/** What the oracle demands: not less than was promised, and nothing that was not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PointRecord } from './oracle-fixture.ts';

function keptPoint(): PointRecord {
  const record = new PointRecord({
    pointId: 'bkp_1',
    key: 'rp/bkp_1',
    sessionId: 'ses_1',
    resource: 'volumes/a',
    disks: {},
  });
  record.promise = 'kept';
  return record;
}

const deletion = { inFlight: { isSettled: () => true }, nowMs: 0, trashDays: [] };

test('a point that nobody touches is to be had all the time', () => {
  const wasAvailable = keptPoint().watchAvailability();
  assert.equal(wasAvailable(), true);
});

test('who began to look before an undelete was done may have seen the point in the trash', () => {
  const record = keptPoint();
  record.beginDelete(deletion);
  const wasAvailable = record.watchAvailability();
  record.bringBack();
  assert.equal(record.mustBeAvailable, true);
  assert.equal(wasAvailable(), false);
  assert.equal(record.watchAvailability()(), true);
});

test('so may who looked while it was deleted and brought back', () => {
  const record = keptPoint();
  const wasAvailable = record.watchAvailability();
  record.beginDelete(deletion);
  record.bringBack();
  assert.equal(wasAvailable(), false);
});

test('a point whose writer was not told yet need not be there', () => {
  const record = keptPoint();
  record.promise = 'open';
  const wasAvailable = record.watchAvailability();
  record.promise = 'kept';
  assert.equal(wasAvailable(), false);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { etagOf, versionAsked } from './etag.ts';

test('the version that is asked for is read back', () => {
  for (const version of [1, 7, 123_456]) {
    assert.equal(versionAsked(etagOf(version), 'required'), version);
    assert.equal(versionAsked(` W/${etagOf(version)} `, 'optional'), version);
  }
  assert.equal(versionAsked('*', 'required'), undefined);
  assert.equal(versionAsked(undefined, 'optional'), undefined);
});

test('what lacks or is no ETag is refused', () => {
  assert.throws(
    () => versionAsked(undefined, 'required'),
    (error) => hasCode(error, 'precondition_required'),
  );
  for (const text of ['3', '"x"', '', '"1", "2"', '"-1"', '"1234567890123456"']) {
    assert.throws(
      () => versionAsked(text, 'optional'),
      (error) => hasCode(error, 'request_invalid'),
      text,
    );
  }
});

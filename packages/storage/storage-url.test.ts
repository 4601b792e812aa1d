import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError } from '@holdfast/base';
import { parseStorageUrl } from './storage-url.ts';

test('a file URL names a directory', () => {
  assert.deepEqual(parseStorageUrl('file:///srv/backup'), { kind: 'local', directory: '/srv/backup' });
  assert.deepEqual(parseStorageUrl('file:///srv/backup//'), { kind: 'local', directory: '/srv/backup' });
  assert.deepEqual(parseStorageUrl('file:///srv/with%20blank/%3F'), { kind: 'local', directory: '/srv/with blank/?' });
  assert.deepEqual(parseStorageUrl('FILE:///srv/ümlaut'), { kind: 'local', directory: '/srv/ümlaut' });
});

test('everything else is refused with a remedy', () => {
  const refused = [
    ['', /no URL/],
    ['/srv/backup', /path was given/],
    ['srv/backup', /no URL/],
    ['file:srv', /three slashes/],
    ['file://srv/backup', /three slashes/],
    ['file:///', /root directory/],
    ['file:///srv?x=1', /\? or #/],
    ['file:///srv#x', /\? or #/],
    ['file:///srv/%2Fx', /cannot be decoded/],
    ['file:///srv/%00', /zero byte/],
    ['http://host/dir', /No storage driver is called http/],
  ] as const;
  for (const [text, message] of refused) {
    assert.throws(
      () => parseStorageUrl(text),
      (error) => error instanceof HoldfastError && error.code === 'storage_url_invalid' && message.test(error.message),
      text,
    );
  }
});

test('storages of later versions are named as such, and secrets in their URLs are not repeated', () => {
  for (const text of ['s3://KEY:SECRET@bucket/prefix', 'sftp://u:SECRET@h/dir', 'ftp://u:SECRET@h/dir']) {
    assert.throws(
      () => parseStorageUrl(text),
      (error) => {
        assert.ok(error instanceof HoldfastError);
        assert.equal(error.code, 'storage_url_invalid');
        assert.match(error.message, /local driver only/);
        assert.doesNotMatch(error.message + error.remedy, /SECRET/);
        return true;
      },
    );
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, GiB, KiB, MiB, TiB } from './units.ts';

test('sizes are shown in the largest unit that keeps them at one or more', () => {
  const shown = {
    0: '0 B',
    1023: '1023 B',
    [KiB]: '1.00 KiB',
    [1.5 * GiB]: '1.50 GiB',
    [5 * TiB]: '5.00 TiB',
    [2000 * 1024 * TiB]: '2000.00 PiB',
  };
  for (const [sizeBytes, text] of Object.entries(shown)) assert.equal(formatBytes(Number(sizeBytes)), text);
  assert.equal(formatBytes(MiB - 1), '1024.00 KiB');
});

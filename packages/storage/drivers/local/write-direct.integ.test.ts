import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { alignedBuffer, alignmentBytes, KiB, MiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { LocalStore } from './local-store.ts';
import { writeDirect } from './write-direct.ts';

function filled(buffer: Buffer): Buffer {
  for (let at = 0; at < buffer.length; at += 1) buffer[at] = (at * 31 + (at >> 12)) & 0xff;
  return buffer;
}

const sizes = [0, 1, 4095, MiB - 1, MiB, MiB + 1, 9 * MiB + 4096, 9 * MiB + 4097];

test('objects of any size are whole, whether their memory is aligned or not', async () => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  for (const size of sizes) {
    const aligned = filled(alignedBuffer(Math.max(1, size)).subarray(0, size));
    const shifted = filled(alignedBuffer(size + alignmentBytes).subarray(7, size + 7));
    for (const [name, body] of Object.entries({ aligned, shifted, halves: aligned })) {
      const half = Math.floor(size / 2);
      const buffers = name === 'halves' ? [body.subarray(0, half), body.subarray(half)] : [body];
      await store.put(`${name}/${size}`, { buffers });
      assert.ok((await store.get(`${name}/${size}`)).equals(body), `${name} of ${size} bytes`);
    }
  }
});

test('only a large part in one aligned buffer goes past the cache, and never more than whole sectors', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'file');
  await writeFile(path, '');
  const large = filled(alignedBuffer(5 * MiB + 100));
  assert.equal(await writeDirect(path, { buffers: [large.subarray(0, 64 * KiB)] }), 0);
  assert.equal(await writeDirect(path, { buffers: [large, large] }), 0);
  const written = await writeDirect(path, { buffers: [large] });
  // 0 where the file system of the temporary directory has no direct writes (tmpfs of older kernels).
  assert.ok(written === 5 * MiB || written === 0);
  assert.ok((await readFile(path)).equals(large.subarray(0, written)));
});

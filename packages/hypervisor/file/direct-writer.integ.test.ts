import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { KiB, MiB } from '@holdfast/base';
import { scratchDirectory } from '../testing/scratch-directory.ts';
import { DirectWriter } from './direct-writer.ts';
import { FileWriter } from './file-writer.ts';

test('where the kernel refuses the alignment, everything goes through the cache from then on', async (context) => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('disk.raw');
  await writeFile(path, Buffer.alloc(4 * MiB));
  await using direct = await DirectWriter.open(path);
  if (!direct) return context.skip('the file system of the temporary directory has no direct writes');
  const content = randomBytes(4 * MiB);
  const piece = (offset: number, length: number) => ({
    from: content.subarray(offset, offset + length),
    offset,
    signal: undefined,
  });

  assert.equal(await direct.write(piece(0, 64 * KiB)), true);
  assert.ok(direct.takes({ offset: MiB, length: MiB }));
  // Kernels want lengths of whole sectors: they refuse this one as they would all on a disk of larger sectors.
  assert.equal(await direct.write(piece(64 * KiB, 100)), false);
  assert.ok(!direct.takes({ offset: MiB, length: MiB }));

  await using handle = await open(path, 'r+');
  const writer = new FileWriter(handle, direct);
  await writer.write(piece(64 * KiB, MiB));
  await writer.write(piece(64 * KiB + MiB, content.length - MiB - 64 * KiB));
  assert.ok((await readFile(path)).equals(content));
});

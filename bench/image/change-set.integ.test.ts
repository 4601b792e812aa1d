import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KiB, MiB } from '@holdfast/base';
import { run } from '../process/run.ts';
import { applyToRaw, changeSetIn, writeChangeSet } from './change-set.ts';
import { bitmapExtents, bitmapName, changedQcow2, convertToQcow2 } from './qcow2.ts';

test('the qcow2 image holds the same change as the raw one, and its bitmap records exactly that', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  try {
    const raw = join(dir, 'disk.raw');
    await writeFile(raw, Buffer.alloc(MiB, 'content'));
    await truncate(raw, 8 * MiB);
    const set = changeSetIn({
      dir,
      pattern: 'scattered',
      writes: [
        { offset: 128 * KiB, length: 64 * KiB, content: 'random', inData: true },
        { offset: 192 * KiB, length: 64 * KiB, content: 'text', inData: true },
        { offset: 5 * MiB, length: 128 * KiB, content: 'text', inData: false },
      ],
    });
    await writeChangeSet({ set, seed: 'test' });
    const base = join(dir, 'base.qcow2');
    const path = join(dir, 'changed.qcow2');
    await convertToQcow2({ raw, path: base });
    await changedQcow2({ base, path, set, granuleBytes: 64 * KiB, workDir: dir });
    await applyToRaw({ set, path: raw });
    await run({ command: ['qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', raw, path] });
    assert.deepEqual(await bitmapExtents({ path, bitmap: bitmapName, workDir: dir }), [
      { offset: 128 * KiB, length: 128 * KiB },
      { offset: 5 * MiB, length: 128 * KiB },
    ]);
  } finally {
    await rm(dir, { recursive: true });
  }
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { GiB, hasCode, KiB, MiB, TiB } from '@holdfast/base';
import { parseBlockLocation } from './block-location.ts';
import { openBlockSource } from './open-block-source.ts';
import { qemuIo, readThroughExtents, run, scratchDirectory } from './testing/scratch-directory.ts';

async function converted(image: string, raw: string): Promise<Buffer> {
  run('qemu-img', 'convert', '-O', 'raw', image, raw);
  return await readFile(raw);
}

test('a qcow2 image reads as qemu-img convert reads it', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('a.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '64M');
  qemuIo('qcow2', image, 'write -P 1 0 1M', 'write -P 2 10M 3M', 'write -z 11M 64k', 'write -P 9 65535k 1k');
  const expected = await converted(image, scratch.path('a.raw'));
  await using source = await openBlockSource({ location: parseBlockLocation(image) });
  assert.match(source.description, /qcow2/);
  assert.ok((await readThroughExtents(source)).equals(expected));
  assert.ok((await Array.fromAsync(source.extents({ offset: 20 * MiB, length: 10 * MiB }))).every(({ zero }) => zero));
});

test('a qcow2 image with backing files reads through the whole chain', async () => {
  await using scratch = await scratchDirectory();
  const [base, middle, top] = ['base.raw', 'middle.qcow2', 'top.qcow2'].map(scratch.path) as [string, string, string];
  run('qemu-img', 'create', '-q', '-f', 'raw', base, '32M');
  qemuIo('raw', base, 'write -P 1 0 4M', 'write -P 2 16M 4M');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', middle);
  qemuIo('qcow2', middle, 'write -P 3 2M 1M', 'write -z 16M 1M');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', top, '48M');
  qemuIo('qcow2', top, 'write -P 4 18M 1M', 'write -P 5 40M 1M');
  const expected = await converted(top, scratch.path('top.raw'));
  await using source = await openBlockSource({ location: parseBlockLocation(top) });
  assert.ok((await readThroughExtents(source)).equals(expected));
  const zeros = await Array.fromAsync(source.extents({ offset: 16 * MiB, length: MiB }));
  assert.deepEqual(zeros, [{ offset: 16 * MiB, length: MiB, zero: true }]);
});

test('a 4 TiB qcow2 image gives its extents quickly, far beyond 4 GiB', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('huge.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '4T');
  qemuIo('qcow2', image, `write -P 7 ${3 * TiB + 5 * GiB} 1M`);
  await using source = await openBlockSource({ location: parseBlockLocation(image) });
  const startedMs = performance.now();
  const extents = await Array.fromAsync(source.extents({ offset: 0, length: 4 * TiB }));
  assert.ok(performance.now() - startedMs < 5000);
  assert.deepEqual(
    extents.filter(({ zero }) => !zero),
    [{ offset: 3 * TiB + 5 * GiB, length: MiB, zero: false }],
  );
  const into = Buffer.alloc(64 * KiB);
  await source.read({ into, offset: 3 * TiB + 5 * GiB + MiB - 32 * KiB });
  assert.ok(into.equals(Buffer.concat([Buffer.alloc(32 * KiB, 7), Buffer.alloc(32 * KiB)])));
});

test('a bitmap tells what was written since, also what became zero', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('b.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '6G');
  qemuIo('qcow2', image, 'write -P 1 0 8M');
  run('qemu-img', 'bitmap', '--add', image, 'since');
  const written = [
    { offset: 2 * MiB, length: MiB },
    { offset: 5 * GiB, length: 64 * KiB },
  ];
  qemuIo('qcow2', image, 'write -P 2 2M 1M', 'write -P 3 5G 64k', 'write -z 4M 128k');
  await using source = await openBlockSource({ location: parseBlockLocation(image), bitmap: 'since' });
  const changed = await Array.fromAsync(source.changed!());
  assert.deepEqual(changed, [written[0], { offset: 4 * MiB, length: 128 * KiB }, written[1]]);
  const zeroed = await Array.fromAsync(source.extents({ offset: 4 * MiB, length: 128 * KiB }));
  assert.deepEqual(zeroed, [{ offset: 4 * MiB, length: 128 * KiB, zero: true }]);
  await using plain = await openBlockSource({ location: parseBlockLocation(image) });
  assert.equal('changed' in plain, false);
});

test('a bitmap that is missing, only in a backing file, inconsistent, or of a raw disk is refused', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('c.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '8M');
  run('qemu-img', 'bitmap', '--add', image, 'below');
  const overlay = scratch.path('overlay.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay);
  const raw = scratch.path('c.raw');
  await writeFile(raw, Buffer.alloc(MiB, 1));
  for (const path of [image, raw]) {
    await assert.rejects(openBlockSource({ location: parseBlockLocation(path), bitmap: 'none' }), (error) =>
      hasCode(error, 'bitmap_not_found'),
    );
  }
  await assert.rejects(openBlockSource({ location: parseBlockLocation(overlay), bitmap: 'below' }), (error) =>
    hasCode(error, 'bitmap_not_found'),
  );
  // A writer that is killed leaves its bitmaps marked as in use.
  const writer = spawn('qemu-io', ['-f', 'qcow2', image], { stdio: ['pipe', 'pipe', 'ignore'] });
  writer.stdin.write('write -P 1 0 64k\n');
  await once(writer.stdout, 'data');
  await once(writer.stdout, 'data');
  writer.kill('SIGKILL');
  await once(writer, 'exit');
  await assert.rejects(openBlockSource({ location: parseBlockLocation(image), bitmap: 'below' }), (error) =>
    hasCode(error, 'bitmap_inconsistent'),
  );
});

test('an image that another program writes is refused with a remedy', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('locked.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '64M');
  const raw = scratch.path('locked.raw');
  await writeFile(raw, '');
  await truncate(raw, 64 * MiB);
  for (const [format, path] of [
    ['qcow2', image],
    ['raw', raw],
  ] as const) {
    const writer = spawn('qemu-io', ['-f', format, path], { stdio: ['pipe', 'pipe', 'ignore'] });
    writer.stdin.write('write 0 64k\n');
    await once(writer.stdout, 'data');
    await once(writer.stdout, 'data');
    try {
      const readIt = async (): Promise<void> => {
        await using source = await openBlockSource({ location: parseBlockLocation(path) });
        await Array.fromAsync(source.extents({ offset: 0, length: source.sizeBytes }));
      };
      await assert.rejects(readIt(), (error) => hasCode(error, 'source_unreadable') && /running/.test(error.remedy));
    } finally {
      writer.kill();
      await once(writer, 'exit');
    }
  }
});

test('what is no image is refused by name', async () => {
  await using scratch = await scratchDirectory();
  const missing = parseBlockLocation(scratch.path('missing.qcow2'));
  await assert.rejects(openBlockSource({ location: missing }), (error) => hasCode(error, 'source_not_found'));
  await assert.rejects(openBlockSource({ location: missing, format: 'qcow2' }), (error) =>
    hasCode(error, 'source_not_found'),
  );
  const text = scratch.path('text');
  await writeFile(text, 'no image at all');
  await assert.rejects(openBlockSource({ location: parseBlockLocation(text), format: 'qcow2' }), (error) =>
    hasCode(error, 'source_unreadable'),
  );
  const cut = scratch.path('cut.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', cut, '1G');
  await truncate(cut, 5000);
  await assert.rejects(openBlockSource({ location: parseBlockLocation(cut) }), (error) =>
    hasCode(error, 'source_unreadable'),
  );
});

test('format raw reads a qcow2 file as the bytes it is made of', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('bytes.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', image, '8M');
  await using source = await openBlockSource({ location: parseBlockLocation(image), format: 'raw' });
  assert.ok((await readThroughExtents(source)).equals(await readFile(image)));
});

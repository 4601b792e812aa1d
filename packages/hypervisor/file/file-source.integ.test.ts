import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { hasCode, MiB, TiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { openFileSource } from './file-source.ts';

const made = await temporaryDirectory();
after(() => made[Symbol.asyncDispose]());
const directory = made.path;

test('a file of odd size reads to its last byte', async () => {
  const path = join(directory, 'odd.raw');
  const content = randomBytes(3 * MiB + 1001);
  await writeFile(path, content);
  await using source = await openFileSource({ path });
  assert.equal(source.sizeBytes, content.length);
  const into = Buffer.alloc(content.length - MiB);
  await source.read({ into, offset: MiB });
  assert.ok(into.equals(content.subarray(MiB)));
  assert.deepEqual(await Array.fromAsync(source.extents({ offset: 0, length: content.length })), [
    { offset: 0, length: content.length, zero: false },
  ]);
});

test('holes of a sparse 4 TiB file are found quickly, far beyond 4 GiB', async () => {
  const path = join(directory, 'sparse.raw');
  const sizeBytes = 4 * TiB + 100;
  const at = 3 * TiB + 64 * MiB;
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  const data = randomBytes(MiB);
  await using handle = await open(path, 'r+');
  await handle.write(data, 0, data.length, at);
  await using source = await openFileSource({ path });
  const startedMs = performance.now();
  assert.deepEqual(await Array.fromAsync(source.extents({ offset: 0, length: sizeBytes })), [
    { offset: 0, length: at, zero: true },
    { offset: at, length: MiB, zero: false },
    { offset: at + MiB, length: sizeBytes - at - MiB, zero: true },
  ]);
  assert.ok(performance.now() - startedMs < 2000);
  assert.deepEqual(await Array.fromAsync(source.extents({ offset: at + 4096, length: 200 * MiB })), [
    { offset: at + 4096, length: MiB - 4096, zero: false },
    { offset: at + MiB, length: 199 * MiB + 4096, zero: true },
  ]);
  const into = Buffer.alloc(MiB);
  await source.read({ into, offset: at });
  assert.ok(into.equals(data));
});

test('leaving the extents early ends the map process', async () => {
  const path = join(directory, 'early.raw');
  await using handle = await open(path, 'w');
  for (let i = 0; i < 200; i += 1) await handle.write('x', i * MiB);
  await using source = await openFileSource({ path });
  for await (const extent of source.extents({ offset: 0, length: source.sizeBytes })) {
    assert.equal(extent.zero, false);
    break;
  }
  assert.throws(() => execFileSync('pgrep', ['-P', String(process.pid), 'qemu-img']));
});

test('a file that shrinks or grows is reported as changed', async () => {
  const path = join(directory, 'changing.raw');
  await writeFile(path, randomBytes(MiB));
  await using source = await openFileSource({ path });
  await source.confirmUnchanged();
  await truncate(path, 1000);
  await assert.rejects(source.read({ into: Buffer.alloc(4096), offset: 0 }), (e) => hasCode(e, 'source_changed'));
  await assert.rejects(source.confirmUnchanged(), (e) => hasCode(e, 'source_changed'));
  await truncate(path, 2 * MiB);
  await assert.rejects(source.confirmUnchanged(), (e) => hasCode(e, 'source_changed'));
});

test('what is no readable disk is refused by name', async () => {
  const missing = join(directory, 'missing.raw');
  await assert.rejects(openFileSource({ path: missing }), (e) => hasCode(e, 'source_not_found'));
  await assert.rejects(openFileSource({ path: directory }), (e) => hasCode(e, 'source_unreadable'));
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  await assert.rejects(openFileSource({ path: fifo }), (e) => hasCode(e, 'source_unreadable'));
  await mkdir(join(directory, 'd'));
  await assert.rejects(openFileSource({ path: join(fifo, 'x') }), (e) => hasCode(e, 'source_not_found'));
});

test('a block device has its real size and content', async (t) => {
  const path = join(directory, 'loop.raw');
  const content = randomBytes(5 * MiB);
  await writeFile(path, content);
  let device: string;
  try {
    device = execFileSync('losetup', ['--find', '--show', '--read-only', path], { encoding: 'utf8' }).trim();
  } catch {
    return t.skip('no loop devices here');
  }
  try {
    await using source = await openFileSource({ path: device });
    assert.equal(source.sizeBytes, content.length);
    const into = Buffer.alloc(content.length);
    await source.read({ into, offset: 0 });
    assert.ok(into.equals(content));
    await source.confirmUnchanged();
  } finally {
    execFileSync('losetup', ['--detach', device]);
  }
});

test('an aborted read rejects with the reason of the abort', async () => {
  const path = join(directory, 'abort.raw');
  await writeFile(path, randomBytes(MiB));
  await using source = await openFileSource({ path });
  const reason = new Error('enough');
  const signal = AbortSignal.abort(reason);
  await assert.rejects(source.read({ into: Buffer.alloc(10), offset: 0, signal }), reason);
});

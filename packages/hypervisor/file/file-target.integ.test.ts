import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GiB, hasCode, MiB, TiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { openFileTarget } from './file-target.ts';

const made = await temporaryDirectory();
after(() => made[Symbol.asyncDispose]());
const directory = made.path;

test('a new file is sparse, fresh and exactly as large as asked', async () => {
  const path = join(directory, 'new.raw');
  const sizeBytes = 4 * TiB + 777;
  {
    await using target = await openFileTarget({ path, sizeBytes, overwrite: false });
    assert.equal(target.fresh, true);
    assert.equal(target.sizeBytes, sizeBytes);
    const from = randomBytes(MiB);
    await target.write({ from, offset: 3 * TiB });
    await target.write({ from: Buffer.from('end'), offset: sizeBytes - 3 });
    assert.equal((await stat(path)).mode & 0o777, 0o200, 'marked as unfinished');
    await target.flush();
    const into = Buffer.alloc(MiB);
    await target.read!({ into, offset: 3 * TiB });
    assert.ok(into.equals(from));
    await target[Symbol.asyncDispose]();
  }
  const stats = await stat(path);
  assert.equal(stats.size, sizeBytes);
  assert.equal(stats.mode & 0o777, 0o600);
  assert.ok(stats.blocks * 512 < 4 * MiB);
});

test('space is reserved for long ranges of a new file, and what is written around it is right', async () => {
  const path = join(directory, 'reserved.raw');
  const sizeBytes = 64 * MiB + 512;
  const from = randomBytes(MiB);
  {
    await using target = await openFileTarget({ path, sizeBytes, overwrite: false });
    target.reserve!([
      { offset: 0, length: MiB },
      { offset: 8 * MiB, length: 16 * MiB },
      { offset: 48 * MiB, length: 16 * MiB + 512 },
    ]);
    await target.write({ from, offset: 8 * MiB });
    for (let tries = 0; tries < 1000 && (await stat(path)).blocks * 512 < 32 * MiB; tries += 1) await sleep(10);
    await target.flush();
  }
  const stats = await stat(path);
  assert.equal(stats.size, sizeBytes);
  assert.ok(stats.blocks * 512 >= 32 * MiB, 'the long ranges have their space');
  assert.ok(stats.blocks * 512 < 33 * MiB, 'the short one has none');
  const content = await readFile(path);
  const expected = Buffer.alloc(sizeBytes);
  from.copy(expected, 8 * MiB);
  assert.ok(content.equals(expected));
});

test('a target whose space cannot be reserved is written all the same', async () => {
  const path = join(directory, 'unreserved.raw');
  const programs = process.env.PATH;
  process.env.PATH = directory;
  try {
    await using target = await openFileTarget({ path, sizeBytes: 16 * MiB, overwrite: false });
    target.reserve!([{ offset: 0, length: 16 * MiB }]);
    await target.write({ from: Buffer.alloc(MiB, 7), offset: 0 });
    await target.flush();
  } finally {
    process.env.PATH = programs;
  }
  assert.ok((await readFile(path)).subarray(0, MiB).equals(Buffer.alloc(MiB, 7)));
});

test('a target that is disposed while its space is reserved is gone, and nothing makes it again', async () => {
  const path = join(directory, 'given-up.raw');
  {
    await using target = await openFileTarget({ path, sizeBytes: 64 * GiB, overwrite: false });
    const ranges = Array.from({ length: 2000 }, (_, index) => ({ offset: index * 32 * MiB, length: 8 * MiB }));
    target.reserve!(ranges);
    await sleep(20);
  }
  await sleep(200);
  await assert.rejects(stat(path), { code: 'ENOENT' });
});

test('a new file that was never flushed is gone afterwards', async () => {
  const path = join(directory, 'half.raw');
  {
    await using target = await openFileTarget({ path, sizeBytes: MiB, overwrite: false });
    await target.write({ from: Buffer.alloc(10, 1), offset: 0 });
  }
  await assert.rejects(stat(path), { code: 'ENOENT' });
});

test('what exists is left alone unless it may be overwritten', async () => {
  const path = join(directory, 'there.raw');
  await writeFile(path, 'precious');
  await assert.rejects(openFileTarget({ path, sizeBytes: MiB, overwrite: false }), (e) => hasCode(e, 'target_exists'));
  assert.equal(await readFile(path, 'utf8'), 'precious');
});

test('overwriting keeps the content, fits the size and zeroes with holes', async () => {
  const path = join(directory, 'again.raw');
  const old = randomBytes(8 * MiB + 300);
  await writeFile(path, old);
  const sizeBytes = 6 * MiB + 100;
  const expected = Buffer.from(old.subarray(0, sizeBytes));
  {
    await using target = await openFileTarget({ path, sizeBytes, overwrite: true });
    assert.equal(target.fresh, false);
    const into = Buffer.alloc(MiB);
    await target.read!({ into, offset: 5 * MiB });
    assert.ok(into.equals(old.subarray(5 * MiB, 6 * MiB)));
    await target.zero({ offset: MiB + 3, length: 3 * MiB + 50 });
    expected.fill(0, MiB + 3, 4 * MiB + 53);
    await target.zero({ offset: 6 * MiB, length: 100 });
    expected.fill(0, 6 * MiB);
    await target.zero({ offset: 10, length: 20 });
    expected.fill(0, 10, 30);
    await target.flush();
  }
  assert.ok((await readFile(path)).equals(expected));
  assert.ok((await stat(path)).blocks * 512 <= 4 * MiB, 'the zeroed range was given back');
  await using larger = await openFileTarget({ path, sizeBytes: 9 * MiB, overwrite: true });
  assert.equal(larger.sizeBytes, 9 * MiB);
  await larger[Symbol.asyncDispose]();
  assert.equal((await stat(path)).size, 9 * MiB);
});

test('a target that cannot be written says why', async () => {
  const missing = join(directory, 'no', 'such', 'x.raw');
  await assert.rejects(openFileTarget({ path: missing, sizeBytes: 1, overwrite: false }), (e) =>
    hasCode(e, 'target_unwritable'),
  );
  await assert.rejects(openFileTarget({ path: directory, sizeBytes: 1, overwrite: true }), (e) =>
    hasCode(e, 'target_unwritable'),
  );
  await assert.rejects(openFileTarget({ path: join(directory, 'f.raw'), sizeBytes: 2 ** 52, overwrite: false }), (e) =>
    hasCode(e, 'incompatible_target'),
  );
  await assert.rejects(stat(join(directory, 'f.raw')), { code: 'ENOENT' });
});

test('a full file system is target_full', async (t) => {
  const mount = join(directory, 'small');
  try {
    execFileSync('sh', ['-c', `mkdir '${mount}' && mount -t tmpfs -o size=2m tmpfs '${mount}'`]);
  } catch {
    return t.skip('mounting needs root');
  }
  try {
    const path = join(mount, 'x.raw');
    {
      await using target = await openFileTarget({ path, sizeBytes: 16 * MiB, overwrite: false });
      const from = randomBytes(4 * MiB);
      await assert.rejects(target.write({ from, offset: 0 }), (e) => hasCode(e, 'target_full'));
    }
    await assert.rejects(stat(path), { code: 'ENOENT' });
  } finally {
    execFileSync('umount', [mount]);
  }
});

test('a block device is written in place and must be large enough', async (t) => {
  const path = join(directory, 'loop.raw');
  const old = randomBytes(8 * MiB);
  await writeFile(path, old);
  let device: string;
  try {
    device = execFileSync('losetup', ['--find', '--show', path], { encoding: 'utf8' }).trim();
  } catch {
    return t.skip('no loop devices here');
  }
  try {
    await assert.rejects(openFileTarget({ path: device, sizeBytes: 9 * MiB, overwrite: true }), (e) =>
      hasCode(e, 'target_too_small'),
    );
    await assert.rejects(openFileTarget({ path: device, sizeBytes: MiB, overwrite: false }), (e) =>
      hasCode(e, 'target_exists'),
    );
    await using target = await openFileTarget({ path: device, sizeBytes: 6 * MiB, overwrite: true });
    assert.equal(target.sizeBytes, 8 * MiB);
    assert.equal(target.fresh, false);
    const from = randomBytes(MiB);
    await target.write({ from, offset: MiB });
    await target.zero({ offset: 3 * MiB + 1, length: 2 * MiB });
    await target.flush();
    await target[Symbol.asyncDispose]();
    from.copy(old, MiB);
    old.fill(0, 3 * MiB + 1, 5 * MiB + 1);
    await using handle = await open(device, 'r');
    const into = Buffer.alloc(8 * MiB);
    await handle.read(into, 0, into.length, 0);
    assert.ok(into.equals(old));
  } finally {
    execFileSync('losetup', ['--detach', device]);
  }
});

test('a file that a crash left unfinished can be taken up again by its owner', async () => {
  const path = join(directory, 'crashed.raw');
  await writeFile(path, randomBytes(MiB));
  await chmod(path, 0o200);
  const modeOf = async () => (await stat(path)).mode & 0o777;
  {
    await using target = await openFileTarget({ path, sizeBytes: MiB, overwrite: true });
    assert.equal(target.fresh, false);
    assert.equal(await modeOf(), 0o200);
  }
  assert.equal(await modeOf(), 0o200, 'still half');
  {
    await using target = await openFileTarget({ path, sizeBytes: MiB, overwrite: true });
    await target.flush();
  }
  assert.equal(await modeOf(), 0o600, 'whole');
});

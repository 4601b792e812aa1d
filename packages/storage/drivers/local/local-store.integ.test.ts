import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, rename, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { hasCode, HoldfastError, MiB } from '@holdfast/base';
import { faultyStore, temporaryDirectory, testConformance } from '@holdfast/testing';
import { randomContent } from '../../conformance/expectations.ts';
import type { BlobStore } from '../../blob-store.ts';
import { checkStorage } from '../../conformance/check-storage.ts';
import { withMeter } from '../../wrappers/meter.ts';
import { withRetry } from '../../wrappers/retry.ts';
import { withThrottle } from '../../wrappers/throttle.ts';
import { LocalStore } from './local-store.ts';

async function temporaryStore(wrap: (store: BlobStore) => BlobStore = (store) => store): Promise<BlobStore> {
  const directory = await temporaryDirectory();
  const store = wrap(await LocalStore.open({ directory: directory.path }));
  const dispose = async (): Promise<void> => {
    assert.deepEqual(await readdir(join(directory.path, '.tmp')).catch(() => []), [], 'no temporary file is left');
    await directory[Symbol.asyncDispose]();
  };
  return new Proxy(store, {
    get: (target, name) => {
      if (name === Symbol.asyncDispose) return dispose;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

testConformance({ title: 'local', open: () => temporaryStore() });
// Each wrapper alone runs on the memory store; here all at once, since each fsync costs milliseconds.
testConformance({
  title: 'local, in all wrappers',
  open: () =>
    temporaryStore((store) =>
      withMeter({
        store: withRetry({
          store: withThrottle({ store: faultyStore({ store }), requestsPerSecond: 1e6, maxConnections: 8 }),
        }),
      }),
    ),
});

test('the whole suite leaves no file and no folder, and confirms what the driver claims', async () => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  const report = await checkStorage({ store });
  assert.deepEqual(
    { ...report, results: [] },
    {
      results: [],
      passed: report.results.length,
      skipped: 0,
      failed: 0,
      capabilities: store.capabilities,
      leftovers: [],
    },
  );
  assert.deepEqual(await readdir(directory.path), ['.tmp']);
});

test('a directory that does not exist is storage_unreachable with a remedy, or made with create', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'a/b/c');
  await assert.rejects(LocalStore.open({ directory: path }), (error) => {
    assert.ok(error instanceof HoldfastError);
    assert.equal(error.code, 'storage_unreachable');
    assert.match(error.remedy, /mounted/);
    return true;
  });
  await using store = await LocalStore.open({ directory: path, create: true });
  await store.put('x', { buffers: [Buffer.from('x')] });
  await LocalStore.open({ directory: path, create: true });
  await assert.rejects(LocalStore.open({ directory: join(path, 'x') }), (error) =>
    hasCode(error, 'storage_unreachable'),
  );
  const below = LocalStore.open({ directory: join(path, 'x/y'), create: true });
  await assert.rejects(below, (error) => hasCode(error, 'storage_unreachable'));
});

test('opening and reading write nothing, so a read-only storage serves restores', async () => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  assert.deepEqual(await Array.fromAsync(store.list('')), []);
  await assert.rejects(store.get('a'), (error) => hasCode(error, 'object_not_found'));
  assert.deepEqual(await readdir(directory.path), []);
});

test('others get no access to objects; the group gets what the storage directory gives it', async () => {
  await using directory = await temporaryDirectory();
  for (const [mode, file, folder] of [
    [0o755, 0o640, 0o750],
    [0o700, 0o600, 0o700],
    [0o2770, 0o640, 0o2770],
  ] as const) {
    const path = join(directory.path, mode.toString(8));
    await mkdir(path);
    await chmod(path, mode);
    await using store = await LocalStore.open({ directory: path });
    await store.put('folder/object', { buffers: [] });
    assert.equal((await stat(join(path, 'folder/object'))).mode & 0o7777, file);
    assert.equal((await stat(join(path, 'folder'))).mode & 0o7777, folder);
  }
});

test('a storage that was unmounted is unreachable, never empty, and nothing is written in its place', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'mount');
  await using store = await LocalStore.open({ directory: path, create: true });
  await store.put('rp/a', { buffers: [Buffer.from('a')] });
  await rename(path, join(directory.path, 'away'));
  const isUnreachable = (error: unknown): boolean => hasCode(error, 'storage_unreachable');
  const assertUnreachable = async (): Promise<void> => {
    await assert.rejects(Array.fromAsync(store.list('')), isUnreachable);
    await assert.rejects(store.get('rp/a'), isUnreachable);
    await assert.rejects(store.head('rp/a'), isUnreachable);
    await assert.rejects(store.delete('rp/a'), isUnreachable);
    await assert.rejects(store.put('rp/b', { buffers: [] }), isUnreachable);
    await assert.rejects(store.put('new/b', { buffers: [] }, { ifAbsent: true }), isUnreachable);
  };
  await assertUnreachable();
  await mkdir(path);
  await assertUnreachable();
  assert.deepEqual(await readdir(path), []);
  await rmdir(path);
  await rename(join(directory.path, 'away'), path);
  assert.equal((await store.get('rp/a')).toString(), 'a');
});

test('an object and a folder of the same name are refused with a reason', async () => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  await store.put('a/b', { buffers: [] });
  const isInvalid = (error: unknown): boolean => hasCode(error, 'object_key_invalid');
  await assert.rejects(store.put('a', { buffers: [] }), isInvalid);
  await assert.rejects(store.put('a', { buffers: [] }, { ifAbsent: true }), isInvalid);
  await assert.rejects(store.put('a/b/c', { buffers: [] }), isInvalid);
  await store.delete('a/b');
  await store.put('a', { buffers: [] });
  assert.deepEqual(await readdir(join(directory.path, '.tmp')), []);
});

test('foreign files and folders are not objects; linked ones are followed', async () => {
  await using directory = await temporaryDirectory();
  await using elsewhere = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  await store.put('a/x', { buffers: [Buffer.from('x')] });
  await mkdir(join(directory.path, 'lost+found'));
  await writeFile(join(directory.path, 'lost+found', 'y'), '');
  await writeFile(join(directory.path, 'a', 'with blank'), '');
  await writeFile(join(directory.path, '.nfs0001'), '');
  await writeFile(join(elsewhere.path, 'linked'), 'content');
  await symlink(elsewhere.path, join(directory.path, 'b'));
  await symlink('/nowhere', join(directory.path, 'dangling'));
  const listed = await Array.fromAsync(store.list(''));
  assert.deepEqual(listed, [
    { key: 'a/x', sizeBytes: 1 },
    { key: 'b/linked', sizeBytes: 7 },
  ]);
});

test('a directory that may not be read is storage_denied, never left out', async (context) => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  await store.put('closed/secret', { buffers: [] });
  await store.put('open/x', { buffers: [] });
  await chmod(directory.path, 0o755);
  await chmod(join(directory.path, 'open'), 0o755);
  await chmod(join(directory.path, 'closed'), 0o000);
  using _user = becomeOrdinaryUser(context);
  const isDenied = (error: unknown): boolean => hasCode(error, 'storage_denied');
  await assert.rejects(Array.fromAsync(store.list('')), isDenied);
  await assert.rejects(store.get('closed/secret'), isDenied);
  await assert.rejects(store.head('closed/secret'), isDenied);
  assert.equal((await Array.fromAsync(store.list('open/'))).length, 1);
});

test('a directory that may not be written is storage_denied', async (context) => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  await store.put('a/x', { buffers: [] });
  await chmod(join(directory.path, 'a'), 0o555);
  await chmod(directory.path, 0o555);
  using _user = becomeOrdinaryUser(context);
  const isDenied = (error: unknown): boolean => hasCode(error, 'storage_denied');
  await assert.rejects(store.put('a/y', { buffers: [] }), isDenied);
  await assert.rejects(store.delete('a/x'), isDenied);
  await using reopened = await LocalStore.open({ directory: directory.path });
  await assert.rejects(reopened.put('b/y', { buffers: [] }), isDenied);
});

test('a full file system is storage_full, leaves nothing, and everything before it stays whole', async (context) => {
  await using mounted = await mountTmpfs(context, '8m');
  if (mounted === undefined) return;
  await using store = await LocalStore.open({ directory: mounted.path });
  const kept = randomContent(3 * MiB);
  await store.put('kept', { buffers: [kept] });
  const isFull = (error: unknown): boolean => hasCode(error, 'storage_full');
  await assert.rejects(store.put('too/large', { buffers: [randomContent(6 * MiB)] }), isFull);
  await assert.rejects(store.put('kept', { buffers: [randomContent(6 * MiB)] }), isFull);
  assert.deepEqual(await readdir(join(mounted.path, '.tmp')), []);
  assert.deepEqual(await Array.fromAsync(store.list('')), [{ key: 'kept', sizeBytes: kept.length }]);
  assert.ok((await store.get('kept')).equals(kept));
  await store.put('fits', { buffers: [randomContent(4 * MiB)] });
});

test('a read-only file system is storage_denied for puts and readable', async (context) => {
  await using mounted = await mountTmpfs(context, '8m');
  if (mounted === undefined) return;
  await using first = await LocalStore.open({ directory: mounted.path });
  await first.put('a', { buffers: [Buffer.from('a')] });
  run('mount', '-o', 'remount,ro', mounted.path);
  await using store = await LocalStore.open({ directory: mounted.path });
  assert.equal((await store.get('a')).toString(), 'a');
  await assert.rejects(store.put('b', { buffers: [] }), (error) => hasCode(error, 'storage_denied'));
  await assert.rejects(store.delete('a'), (error) => hasCode(error, 'storage_denied'));
});

/** File modes do not stop root; as root, the rest of the test runs with the rights of nobody. */
function becomeOrdinaryUser(context: TestContext): Disposable {
  if (process.geteuid?.() !== 0) return { [Symbol.dispose]: () => {} };
  context.diagnostic('running as root: with the rights of uid 65534 from here on');
  process.seteuid?.(65534);
  return { [Symbol.dispose]: () => process.seteuid?.(0) };
}

async function mountTmpfs(
  context: TestContext,
  size: string,
): Promise<(AsyncDisposable & { readonly path: string }) | undefined> {
  if (process.geteuid?.() !== 0) {
    context.skip('needs root to mount a small tmpfs');
    return undefined;
  }
  const directory = await temporaryDirectory();
  if (run('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory.path) !== 0) {
    await directory[Symbol.asyncDispose]();
    context.skip('this machine does not allow mounting a tmpfs');
    return undefined;
  }
  return {
    path: directory.path,
    [Symbol.asyncDispose]: async () => {
      run('umount', directory.path);
      await directory[Symbol.asyncDispose]();
    },
  };
}

function run(command: string, ...args: readonly string[]): number | null {
  return spawnSync(command, args, { stdio: 'ignore' }).status;
}

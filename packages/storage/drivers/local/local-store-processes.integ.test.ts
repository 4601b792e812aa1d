/** What needs more than one process: races, kill -9, leftovers; and the fsyncs, seen from outside. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { temporaryDirectory } from '@holdfast/testing';
import { LocalStore } from './local-store.ts';
import { newTemporaryName } from './temporaries.ts';

const storeModule = new URL('./local-store.ts', import.meta.url).href;

/** A process of its own with an open `store`. */
function scriptOf(code: string): readonly string[] {
  const prelude = `import { LocalStore } from ${JSON.stringify(storeModule)};
    const store = await LocalStore.open({ directory: process.argv[1] });\n`;
  return ['--input-type=module', '--eval', prelude + code];
}

function startProcess(code: string, directory: string): ChildProcess & { readonly lines: AsyncIterator<string> } {
  const child = spawn(process.execPath, [...scriptOf(code), directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  return Object.assign(child, { lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() });
}

const slowPut = `
  await store.put('folder/object', {
    sizeBytes: 2_000_000,
    open: async function* () {
      yield Buffer.alloc(1_000_000);
      console.log('half');
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    },
  });`;

test('of puts with ifAbsent racing in four processes exactly one wins each key', async () => {
  await using directory = await temporaryDirectory();
  const race = `
    const won = [];
    for (let index = 0; index < 40; index += 1) {
      const body = { buffers: [Buffer.from(process.pid + ' ' + 'x'.repeat(index))] };
      await store.put('race/' + index, body, { ifAbsent: true }).then(
        () => won.push(index),
        (error) => { if (error.code !== 'object_exists') throw error; },
      );
    }
    console.log(JSON.stringify(won));`;
  const children = Array.from({ length: 4 }, () => startProcess(race, directory.path));
  await using store = await LocalStore.open({ directory: directory.path });
  const winnerOf = new Map<number, number>();
  for (const child of children) {
    const { value } = await child.lines.next();
    for (const index of JSON.parse(value) as number[]) {
      assert.equal(winnerOf.has(index), false, `two winners of ${index}`);
      winnerOf.set(index, child.pid ?? 0);
    }
  }
  for (let index = 0; index < 40; index += 1) {
    assert.equal((await store.get(`race/${index}`)).toString(), `${winnerOf.get(index)} ${'x'.repeat(index)}`);
  }
});

test('a writer killed in the middle leaves nothing visible; the next open removes its leftover', async () => {
  await using directory = await temporaryDirectory();
  const writer = startProcess(slowPut, directory.path);
  await writer.lines.next();
  const leftovers = (): Promise<string[]> => readdir(join(directory.path, '.tmp'));
  assert.equal((await leftovers()).length, 1);

  await using beside = await LocalStore.open({ directory: directory.path });
  assert.equal((await leftovers()).length, 1, 'the file of a living writer is left alone');

  writer.kill('SIGKILL');
  await once(writer, 'exit');
  assert.deepEqual(await Array.fromAsync(beside.list('')), []);
  assert.equal(await beside.head('folder/object'), undefined);
  assert.equal((await leftovers()).length, 1);
  await using _after = await LocalStore.open({ directory: directory.path });
  assert.deepEqual(await leftovers(), []);
});

test('leftovers whose maker cannot be judged are removed after a week without a write', async () => {
  await using directory = await temporaryDirectory();
  await using store = await LocalStore.open({ directory: directory.path });
  await store.put('object', { buffers: [] });
  const folder = join(directory.path, '.tmp');
  const [, ...ownRest] = newTemporaryName().split('.');
  const otherHost = ['0123456789ab', ...ownRest].join('.');
  const eightDaysAgo = new Date(Date.now() - 8 * 24 * 3600 * 1000);
  for (const [name, old] of [
    [otherHost, false],
    [`${otherHost}0`, true],
    ['not-one-of-ours', false],
    ['neither', true],
  ] as const) {
    await writeFile(join(folder, name), '');
    if (old) await utimes(join(folder, name), eightDaysAgo, eightDaysAgo);
  }
  await using _again = await LocalStore.open({ directory: directory.path });
  assert.deepEqual((await readdir(folder)).sort(), [otherHost, 'not-one-of-ours'].sort());
});

test('content is synced before its key appears, and every directory that got a name after it did', async (context) => {
  if (spawnSync('strace', ['-V'], { stdio: 'ignore' }).status !== 0) return context.skip('strace is not installed');
  await using directory = await temporaryDirectory();
  const code = `
    await store.put('a/b/renamed', { buffers: [Buffer.from('x')] });
    await store.put('a/c/linked', { buffers: [Buffer.from('y')] }, { ifAbsent: true });
    await store.delete('a/c/linked');`;
  // -y names the file behind each descriptor.
  const calls = 'trace=fsync,fdatasync,mkdir,rename,link,unlink,rmdir';
  const trace = join(directory.path, '.trace');
  const traced = ['-f', '-y', '-qq', '-o', trace, '-e', calls, process.execPath, ...scriptOf(code), directory.path];
  const { status } = spawnSync('strace', traced, { stdio: 'inherit' });
  if (status !== 0) return context.skip(`strace cannot trace here (exit ${status})`);
  assert.deepEqual(await readTrace(trace, directory.path), [
    'mkdir .tmp',
    'fsync /',
    'fsync .tmp/TEMP',
    'mkdir a',
    'fsync /',
    'mkdir a/b',
    'fsync a',
    'rename .tmp/TEMP a/b/renamed',
    'fsync a/b',
    'fsync .tmp/TEMP',
    'mkdir a/c',
    'fsync a',
    'link .tmp/TEMP a/c/linked',
    'unlink .tmp/TEMP',
    'fsync a/c',
    'unlink a/c/linked',
    'rmdir a/c',
    'rmdir a',
    'fsync a',
  ]);
});

/** Calls on the store in order, as `name path...`; interrupted lines of several threads are put together again. */
async function readTrace(path: string, root: string): Promise<readonly string[]> {
  const seen: string[] = [];
  const unfinished = new Map<string, string>();
  for (const line of (await readFile(path, 'utf8')).split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    if (rest.endsWith('<unfinished ...>')) {
      unfinished.set(thread, rest);
      continue;
    }
    const whole = rest.startsWith('<...') ? (unfinished.get(thread) ?? '') : rest;
    const call = /^\w+/.exec(whole)?.[0];
    const paths = [...whole.matchAll(/["<](\/[^">]*)[">]/g)]
      .map(([, found = '']) => found)
      .filter((found) => found === root || found.startsWith(`${root}/`))
      .map((found) => found.slice(root.length + 1).replace(/^\.tmp\/.+/, '.tmp/TEMP') || '/');
    if (call && paths.length > 0) seen.push([call, ...paths].join(' '));
  }
  return seen;
}

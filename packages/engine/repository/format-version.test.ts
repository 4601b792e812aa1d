/** What is written today is format 1, and what is newer is refused by name. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { hasCode } from '@holdfast/base';
import { faultyStore, MemoryDisk, MemoryStore, noise, SimulatedCrash } from '@holdfast/testing';
import { listPoints } from '../manifest/points.ts';
import { backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';
import { encodeDocument } from './document.ts';
import { initRepository, openRepository, readConfiguration } from './repository.ts';

const crash = { kind: 'crash', when: 'before' } as const;

async function written() {
  const { store, repository } = await newRepository();
  const disk = new MemoryDisk(3 * smallChunkBytes);
  disk.write(noise({ seed: 1, length: smallChunkBytes }), 0);
  await backupOf(repository, { vda: disk });
  return { store, repository };
}

test('init and backup write the magics and versions of format 1', async () => {
  const { store } = await written();
  const seen = new Set<string>();
  for (const [key, content] of store.objects()) {
    const [folder] = key.replace(/^d\/default\//, '').split('/');
    seen.add(folder!);
    switch (folder) {
      case 'repo.json':
        assert.equal(JSON.parse(content.toString().split('\n').slice(1).join('\n')).format, 1);
        break;
      case 'keys':
        assert.equal(JSON.parse(content.toString().split('\n').slice(1).join('\n')).version, 1);
        break;
      case 'data':
      case 'meta':
        assert.equal(content.toString('latin1', 0, 4), 'HFPK');
        assert.equal(content.readUInt16LE(4), 1);
        assert.equal(content.toString('latin1', 32, 36), 'HFf1');
        assert.equal(content.toString('latin1', content.length - 4), 'HFPE');
        break;
      case 'rp':
        assert.equal(content.toString('latin1', 0, 4), 'HFRP');
        assert.equal(content.readUInt16LE(4), 1);
        assert.equal(content.toString('latin1', content.length - 4), 'PRFH');
        break;
      case 'idx':
        break;
      default:
        assert.fail(`${key} is not in the layout of format 1`);
    }
  }
  assert.deepEqual([...seen].sort(), ['data', 'idx', 'keys', 'meta', 'repo.json', 'rp']);
});

test('a repository of a newer format is refused as such, whatever else its configuration holds', async () => {
  const { store } = await written();
  const newer = encodeDocument({ format: 2, something: 'new' });
  await store.put('repo.json', { buffers: [newer] });
  await assert.rejects(openRepository({ store }), (error) => hasCode(error, 'repository_newer'));
});

test('a manifest of a newer version is listed as such and hides no other', async () => {
  const { store, repository } = await written();
  const [key, content] = [...store.objects()].find(([name]) => name.includes('/rp/'))!;
  const newer = Buffer.from(content);
  newer.writeUInt16LE(2, 4);
  newer.writeUInt32LE(crc32(newer.subarray(0, newer.length - 8)), newer.length - 8);
  await store.put(key.replace('volumes/a', 'volumes/b'), { buffers: [newer] });
  const { points, damaged } = await listPoints({ repository });
  assert.equal(points.length, 1);
  assert.deepEqual(
    damaged.map(({ error }) => error.code),
    ['repository_newer'],
  );
});

test('a manifest under the key of another point is not believed', async () => {
  const { store, repository } = await written();
  const [key, content] = [...store.objects()].find(([name]) => name.includes('/rp/'))!;
  for (const other of [
    key.replace('volumes/a', 'volumes/b'),
    key.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
  ]) {
    await store.put(other, { buffers: [content] });
    const { points, damaged } = await listPoints({ repository });
    assert.equal(points.length, 1);
    assert.deepEqual(
      damaged.map(({ error }) => error.code),
      ['repository_damaged'],
    );
    await store.delete(other);
  }
});

test('an empty storage is no repository; a second init is refused and changes nothing', async () => {
  const store = new MemoryStore();
  await assert.rejects(openRepository({ store }), (error) => hasCode(error, 'not_a_repository'));
  await initRepository({ store });
  const sums = () =>
    [...store.objects()].map(([key, content]) => `${key} ${createHash('sha256').update(content).digest('hex')}`);
  const before = sums();
  await assert.rejects(initRepository({ store }), (error) => hasCode(error, 'repository_exists'));
  assert.deepEqual(sums(), before);
  assert.equal((await readConfiguration({ store })).format, 1);
});

test('of two inits at once one is told that the repository exists', async () => {
  const store = new MemoryStore();
  const outcomes = await Promise.allSettled([initRepository({ store }), initRepository({ store })]);
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  await openRepository({ store });
});

test('keys that an init left behind when it was killed never become keys of another repository', async () => {
  const store = new MemoryStore();
  const dying = faultyStore({
    store,
    script: ({ verb, key }) => (verb === 'put' && key === 'repo.json' ? crash : undefined),
  });
  await assert.rejects(initRepository({ store: dying }), SimulatedCrash);
  assert.equal(store.objects().size, 1);
  await assert.rejects(initRepository({ store, passphrase: 'secret' }), (error) => hasCode(error, 'repository_exists'));
});

test('a repository without its keys folder says so', async () => {
  const { store } = await written();
  for (const key of store.objects().keys()) if (key.startsWith('keys/')) await store.delete(key);
  await assert.rejects(openRepository({ store }), (error) => hasCode(error, 'key_missing'));
});

/** The keeper's cache: a warm run reads nothing again, a damaged cache costs time only, and a point that vanished is missed. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { faultyStore, noise, temporaryDirectory } from '@holdfast/testing';
import { backupOf, smallChunkBytes, through } from '../repository-fixture.ts';
import { assertKept, assertTidy, collectNow, collectStory, dayMs, removePoint } from './collect-fixture.ts';
import { RecordLog } from './record-log.ts';

async function cached(points = 3) {
  const directory = await temporaryDirectory();
  const story = await collectStory(points);
  const collectCached = async (options: Parameters<typeof collectNow>[1] = {}) => {
    const store = faultyStore({ store: story.store });
    const report = await collectNow(through(story.repository, store), { cacheDirectory: directory.path, ...options });
    const gets = store.calls.filter(({ verb }) => verb === 'get').map(({ key }) => key);
    return {
      report,
      manifests: gets.filter((key) => key.includes('/rp/')),
      pages: gets.filter((key) => key.includes('/meta/')),
    };
  };
  return {
    ...story,
    directory: directory.path,
    collectCached,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

async function segmentsBelow(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory, { recursive: true });
  return names.filter((name) => name.endsWith('.log')).map((name) => join(directory, name));
}

test('a warm run reads no manifest and no page; of a new point, its own', async () => {
  await using made = await cached();
  const { collectCached, repository, disk, kept } = made;
  const cold = await collectCached();
  assert.equal(cold.manifests.length, 3);
  assert.equal(cold.pages.length, 3);
  const warm = await collectCached();
  assert.deepEqual([...warm.manifests, ...warm.pages], []);
  assert.deepEqual(warm.report, cold.report);
  disk.write(noise({ seed: 40, length: smallChunkBytes }), 0);
  const { point } = await backupOf(repository, { vda: disk }, { parent: kept[2]!.point });
  const third = await collectCached();
  assert.deepEqual(third.manifests, [point.key]);
  assert.equal(third.pages.length, 1);
  await removePoint(repository, kept[1]!.point);
  const fourth = await collectCached();
  assert.ok(fourth.report.deleted.packs > 0);
  assert.deepEqual([...fourth.manifests, ...fourth.pages], []);
  await assertKept(repository, [kept[0]!, kept[2]!, { point, disk }]);
});

test('a cache that is damaged anywhere, cut short, or of another repository changes nothing but the reading', async () => {
  await using made = await cached();
  const { collectCached, repository, kept, store, directory } = made;
  const { report } = await collectCached();
  for (const segment of await segmentsBelow(directory)) {
    const content = await readFile(segment);
    for (const at of [0, 3, 8, 20, content.length >> 1, content.length - 1]) {
      const damaged = Buffer.from(content);
      damaged[at]! ^= 0x41;
      await writeFile(segment, damaged);
      assert.deepEqual((await collectCached()).report, report);
    }
    await truncate(segment, content.length - 5);
    assert.deepEqual((await collectCached()).report, report);
  }
  await removePoint(repository, kept[0]!.point);
  await collectCached();
  await assertKept(repository, kept.slice(1));
  await assertTidy(repository, store);
  const other = await collectStory(1);
  await collectNow(other.repository, { cacheDirectory: directory });
  await assertKept(other.repository, other.kept);
});

test('a manifest that vanished stops the collection until somebody accepts it', async () => {
  await using made = await cached();
  const { collectCached, repository, kept, store } = made;
  await collectCached();
  const { key, manifest } = kept[1]!.point;
  const content = await store.get(key);
  await store.delete(key);
  const before = [...store.objects().keys()];
  for (let round = 0; round < 2; round += 1) {
    await assert.rejects(collectCached(), (error) => {
      assert.ok(hasCode(error, 'manifest_vanished'));
      assert.deepEqual(error.facts['points'], [manifest.id]);
      return true;
    });
    assert.deepEqual([...store.objects().keys()], before);
  }
  // It comes back: nothing was lost.
  await store.put(key, { buffers: [content] });
  assert.equal((await collectCached()).report.deleted.packs, 0);
  await assertKept(repository, kept);
  await store.delete(key);
  assert.ok((await collectCached({ acceptVanished: true })).report.deleted.packs > 0);
  assert.equal((await collectCached()).report.deleted.packs, 0);
  await assertKept(repository, [kept[0]!, kept[2]!]);
  await assertTidy(repository, store);
});

test('points that another keeper purged, or that were void, are not missed', async () => {
  await using made = await cached();
  const { collectCached, repository, kept, store, clock, disk } = made;
  const faulty = faultyStore({
    store,
    script: ({ verb, key }) =>
      verb === 'put' && key.startsWith('d/default/rp/') ? { kind: 'late_put', afterCalls: 1000 } : undefined,
  });
  await assert.rejects(backupOf(through(repository, faulty), { vda: disk }, { resource: 'volumes/b' }));
  await faulty.landLatePuts();
  assert.equal((await collectCached({ dryRun: true })).report.voidPoints.length, 1);
  await removePoint(repository, kept[1]!.point);
  await collectNow(repository);
  assert.equal((await collectCached()).report.deleted.packs, 0);
  await clock.advance(31 * dayMs);
  assert.equal((await collectCached()).report.leftovers, 2);
  await collectCached();
  await assertKept(repository, [kept[0]!, kept[2]!]);
});

test('a log keeps what it was told over many runs, and forgets what nobody wants', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'deep', 'log');
  await mkdir(directory.path, { recursive: true });
  const size = 50_000;
  for (let run = 0; run < 30; run += 1) {
    const log = await RecordLog.open(path);
    assert.equal(log.names.size, run * 2);
    await log.add(`big ${run}`, Buffer.alloc(size, run + 1));
    await log.add(`small ${run}`, Buffer.from([run + 1]));
    await log.add(`gone ${run}`, Buffer.from([1]));
    await log.takeBack(`gone ${run}`);
    await log.add(`gone ${run}`, Buffer.from([1]));
    const seen = new Set<string>();
    for await (const { name, content } of log.scan()) {
      assert.equal(content[0], Number(name.split(' ')[1]) + 1);
      assert.equal(content.length, name.startsWith('big') ? size : 1);
      seen.add(name);
    }
    assert.equal(seen.size, run * 2 + 2);
    await log.close(() => true);
    assert.ok((await readdir(path)).length <= 24, 'segments are put together');
  }
  const last = await RecordLog.open(path);
  for (let index = 0; index < 3000; index += 1) await last.add(`many ${index}`, Buffer.from([1]));
  await last.close((name) => name.startsWith('many'));
  const again = await RecordLog.open(path);
  await again.close((name) => name === 'many 7');
  assert.deepEqual([...(await RecordLog.open(path)).names], ['many 7']);
});

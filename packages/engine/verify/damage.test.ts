/** Bit flips and truncation anywhere in a repository are harmless or loud. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { assertVerifies, backupOf, restored, through } from '../repository-fixture.ts';
import { packsPrefix } from '../repository/layout.ts';
import { judgeFlips, judgeTruncation, tinyRepository } from './damage-fixture.ts';
import { assertClean, verifyRepository } from './verify-repository.ts';

test('a bit flip at every byte of every object (not encrypted)', async () => {
  await judgeFlips(await tinyRepository({ encrypted: false, hash: 'blake3' }), 'thinned');
});

test('truncation of every object (not encrypted)', async () => {
  await judgeTruncation(await tinyRepository({ encrypted: false, hash: 'blake3' }), 13);
});

test('an object that is gone is loud', async () => {
  const tiny = await tinyRepository({ encrypted: false, hash: 'blake3' });
  for (const key of tiny.store.objects().keys()) {
    if (!key.startsWith(packsPrefix('default', 'data')) && !key.startsWith(packsPrefix('default', 'meta'))) continue;
    const store = tiny.store.clone();
    await store.delete(key);
    const repository = through(tiny.repository, store);
    for (const scope of ['presence', 'scrub'] as const) {
      const report = await verifyRepository({ repository, scope });
      assert.ok(report.points.some(({ ok }) => !ok));
      assert.throws(
        () => assertClean(report),
        (error) => hasCode(error, 'chunk_corrupt'),
      );
    }
  }
});

test('a scrub tells damage that does not hurt any point yet: a pack that is not the bytes of its name', async () => {
  const tiny = await tinyRepository({ encrypted: false, hash: 'blake3' });
  for (const [key, content] of tiny.store.objects()) {
    if (!key.startsWith(packsPrefix('default', 'data'))) continue;
    const damaged = Buffer.from(content);
    damaged[9]! ^= 1;
    const store = tiny.store.clone();
    await store.put(key, { buffers: [damaged] });
    const report = await verifyRepository({ repository: through(tiny.repository, store), scope: 'scrub' });
    assert.ok(report.points.every(({ ok }) => ok));
    assert.equal(report.packs.damaged, 1);
    assert.throws(
      () => assertClean(report),
      (error) => hasCode(error, 'chunk_corrupt'),
    );
  }
});

test('points of other resources do not suffer from one damaged manifest', async () => {
  const tiny = await tinyRepository({ encrypted: false, hash: 'blake3' });
  const [disk] = tiny.disks.values();
  const { point } = await backupOf(tiny.repository, { vda: disk! }, { resource: 'volumes/b' });
  const [victim] = [...tiny.store.objects().keys()].filter((key) => key.includes('/rp/volumes/a/'));
  const manifest = tiny.store.objects().get(victim!)!;
  await tiny.store.put(victim!, { buffers: [manifest.subarray(0, manifest.length - 1)] });
  assert.equal(disk!.differsFrom(await restored(tiny.repository, point)), undefined);
  const report = await verifyRepository({ repository: tiny.repository, scope: 'scrub' });
  assert.deepEqual(
    report.points.map(({ ok }) => ok),
    [true, true, true, false],
  );
  await assert.rejects(assertVerifies(tiny.repository));
});

/** Presence checks know table pages from the keeper's cache, and are no less loud for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultyStore, temporaryDirectory } from '@holdfast/testing';
import { collect } from '../collect/collect.ts';
import { collectStory } from '../collect/collect-fixture.ts';
import { packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { through } from '../repository-fixture.ts';
import { slotsOfPoint } from './point-packs.ts';
import { verifyRepository } from './verify-repository.ts';

async function presence(repository: Repository, cacheDirectory: string | undefined) {
  const store = faultyStore({ store: repository.store });
  const report = await verifyRepository({ repository: through(repository, store), scope: 'presence', cacheDirectory });
  const pages = store.calls.filter(({ verb, key }) => verb === 'get' && key.startsWith('d/default/meta/'));
  return { report, pagesRead: pages.length };
}

test('pages are read once, whichever of collection and presence checks came first', async () => {
  await using cache = await temporaryDirectory();
  const { repository } = await collectStory();
  const cold = await presence(repository, cache.path);
  assert.ok(cold.pagesRead > 0);
  const warm = await presence(repository, cache.path);
  assert.equal(warm.pagesRead, 0);
  assert.deepEqual(warm.report, cold.report);
  assert.deepEqual(warm.report, (await presence(repository, undefined)).report);
  await using other = await temporaryDirectory();
  await collect({ repository, cacheDirectory: other.path });
  assert.equal((await presence(repository, other.path)).pagesRead, 0);
});

test('every pack that is gone is told of, the one with the cached page too', async () => {
  const { store, repository, kept } = await collectStory();
  const { manifest } = kept.at(-1)!.point;
  for await (const { packId, kind } of slotsOfPoint(repository, manifest)) {
    await using cache = await temporaryDirectory();
    await presence(repository, cache.path);
    const torn = store.clone();
    await torn.delete(packKey({ domain: 'default', kind, packId }));
    const { report } = await presence(through(repository, torn), cache.path);
    const flagged = report.points.filter(({ ok }) => !ok).map(({ pointId }) => pointId);
    assert.ok(flagged.includes(manifest.id), `${kind} pack ${packId}`);
    const uncached = await presence(through(repository, torn), undefined);
    assert.deepEqual(
      flagged,
      uncached.report.points.filter(({ ok }) => !ok).map(({ pointId }) => pointId),
    );
  }
});

test('a cache that cannot be made costs time only', async () => {
  const { repository } = await collectStory();
  const { report } = await presence(repository, '/proc/no-place-for-a-cache');
  assert.ok(report.points.every(({ ok }) => ok));
});

/** Damage on either side of a copy: what cannot be proved is not copied, and says so; the rest is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { type FaultScript, faultyStore, type MemoryStore, seededRandom } from '@holdfast/testing';
import { entriesOf } from '../backup/patched-chunks-fixture.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { locationsOf } from '../map/reference-list.ts';
import { packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import {
  assertRestores,
  assertVerifies,
  condemn,
  newRepository,
  packsOf,
  restored,
  through,
} from '../repository-fixture.ts';
import { listSessions } from '../session/session.ts';
import { assertCopied, copyOf, makePatched, makeVolume, type Original } from './copy-fixture.ts';
import { assertAllCopied, copyPoints } from './copy-points.ts';

/** Turns a bit over in the middle of the object. */
async function spoil(store: MemoryStore, key: string, at?: number): Promise<void> {
  const content = Buffer.from(store.objects().get(key)!);
  content[at ?? Math.floor(content.length / 2)]! ^= 1;
  await store.put(key, { buffers: [content] });
}

/** Damages a chunk that only this point uses, and no point of `others`. */
async function spoilOwnChunk(
  store: MemoryStore,
  request: { readonly repository: Repository; readonly point: RestorePoint; readonly others: readonly RestorePoint[] },
): Promise<void> {
  const { repository, point, others } = request;
  const placesOf = async (one: RestorePoint) => (await entriesOf(repository, one)).flatMap(locationsOf);
  const used = new Set<string>();
  for (const one of others) for (const { packId, slot } of await placesOf(one)) used.add(`${packId} ${slot}`);
  const own = (await placesOf(point)).find(({ packId, slot }) => !used.has(`${packId} ${slot}`))!;
  const key = packKey({ domain: repository.domain, kind: 'data', packId: own.packId });
  await spoil(store, key, own.offset + own.storedBytes - 20);
}

for (const [what, make] of Object.entries({ 'a chunk': makeVolume, 'a patch': makePatched })) {
  test(`a point of the source with ${what} damaged is not copied; the others are`, async () => {
    const { store, repository: source } = await newRepository();
    const originals = await make(source);
    const points = originals.map(({ point }) => point);
    const broken = points[2]!;
    await spoilOwnChunk(store, { repository: source, point: broken, others: points.filter((one) => one !== broken) });
    const { repository: target } = await newRepository({ encrypted: true });
    const report = await copyPoints({ source, target });
    assert.deepEqual(
      report.failed.map(({ pointId }) => pointId),
      [broken.manifest.id],
    );
    assert.ok(hasCode(report.failed[0]!.error, 'source_point_damaged'), report.failed[0]!.error.stack);
    assert.throws(
      () => assertAllCopied(report),
      (error) => hasCode(error, 'copy_incomplete'),
    );
    await assertCopied(
      target,
      source,
      originals.filter(({ point }) => point !== broken),
    );
    assert.deepEqual([await listSessions(source), await listSessions(target)], [[], []]);
  });
}

test('a damaged manifest of the source is reported; the other points are copied', async () => {
  const { store, repository: source } = await newRepository();
  const originals = await makeVolume(source);
  await spoil(store, originals[1]!.point.key);
  const { repository: target } = await newRepository();
  const { failed } = await copyPoints({ source, target });
  assert.deepEqual(
    failed.map(({ pointId }) => pointId),
    [originals[1]!.point.manifest.id],
  );
  await assertCopied(target, source, originals.toSpliced(1, 1));
});

/** Every object of the source damaged in turn: each point arrives right, or does not arrive and is named. */
test('whatever object of the source is damaged, nothing wrong is ever copied', async () => {
  const { store: whole, repository } = await newRepository({ encrypted: true, packBytes: 1024 * 1024 });
  const originals = [...(await makeVolume(repository)), ...(await makePatched(repository))];
  const random = seededRandom(1);
  let lost = 0;
  const objects = [...whole.objects()].filter(([key]) => key.startsWith('d/'));
  for (const [index, [key, content]] of objects.entries()) {
    const store = whole.clone();
    if (index % 3 === 0) await store.delete(key);
    else await spoil(store, key, Math.floor(random() * content.length));
    const source = through(repository, store);
    const { repository: target } = await newRepository();
    const report = await copyPoints({ source, target });
    const points = await assertVerifies(target);
    lost += report.failed.length;
    for (const original of originals) await assertCopiedOrNamed({ original, source, target, points, report });
  }
  assert.ok(lost > 10, `only ${lost} points failed: is anything checked?`);
});

async function assertCopiedOrNamed(request: {
  readonly original: Original;
  readonly source: Repository;
  readonly target: Repository;
  readonly points: readonly RestorePoint[];
  readonly report: Awaited<ReturnType<typeof copyPoints>>;
}): Promise<void> {
  const { original, source, target, points, report } = request;
  const copy = copyOf(target, source, { points, point: original.point });
  const isNamed = report.failed.some(({ pointId }) => pointId === original.point.manifest.id);
  if (copy) {
    await assertRestores(target, copy, original.disks);
    assert.ok(!isNamed);
  } else if (!isNamed) {
    // Its manifest is gone: it is no point any more.
    assert.ok(!(await source.store.head(original.point.key)));
  }
}

test('a copy that is damaged in the target is no base: the next point is copied whole', async () => {
  const { repository: source } = await newRepository();
  const { store, repository: target } = await newRepository();
  const originals = await makeVolume(source);
  const [first, second] = originals;
  const { copies } = await copyPoints({ source, target, points: [first!.point.manifest.id] });
  for (const key of store.objects().keys()) if (key.includes('/meta/')) await spoil(store, key);
  await assert.rejects(restored(target, copies[0]!.to), (error) => hasCode(error, 'chunk_corrupt'));
  const report = await copyPoints({ source, target, points: [second!.point.manifest.id] });
  assertAllCopied(report);
  const made = report.copies.find(({ isNew }) => isNew)!;
  assert.match(made.warnings.join(), /is damaged/);
  await assertRestores(target, made.to, second!.disks);
});

test('packs of the target that are condemned while a copy builds on them make it read everything', async () => {
  const { repository: source } = await newRepository();
  const { store, repository: target } = await newRepository();
  const [first, second] = await makePatched(source);
  const { copies } = await copyPoints({ source, target, points: [first!.point.manifest.id] });
  const condemned = await packsOf(target, copies[0]!.to);
  let began: Promise<void> | undefined;
  const script: FaultScript = ({ verb, key }) => {
    if (verb === 'put' && key.includes('/data/')) began ??= condemn(target, condemned);
    return undefined;
  };
  const watched = through(target, faultyStore({ store, script }));
  const report = await copyPoints({ source, target: watched, points: [second!.point.manifest.id] });
  await began;
  assertAllCopied(report);
  const { to } = report.copies.find(({ isNew }) => isNew)!;
  const used = await packsOf(target, to);
  assert.ok(began && !used.some((pack) => condemned.includes(pack)));
  await assertRestores(target, to, second!.disks);
  assert.equal(to.manifest.series, second!.point.manifest.series);
});

test('a base that is damaged in the source costs a full read and nothing else', async () => {
  const { store, repository: source } = await newRepository();
  const { repository: target } = await newRepository();
  const originals = await makeVolume(source);
  const [first, second] = originals;
  await copyPoints({ source, target, points: [first!.point.manifest.id] });
  const [root] = first!.point.manifest.roots;
  await spoil(
    store,
    packKey({ domain: source.domain, kind: 'meta', packId: root!.location.packId }),
    root!.location.offset + root!.location.storedBytes - 3,
  );
  await assert.rejects(restored(source, first!.point), (error) => hasCode(error, 'chunk_corrupt'));
  const report = await copyPoints({ source, target, points: [second!.point.manifest.id] });
  assertAllCopied(report);
  await assertRestores(target, report.copies.find(({ isNew }) => isNew)!.to, second!.disks);
});

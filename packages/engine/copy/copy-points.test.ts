/** A copy is the point: byte for byte, in every format, however often and by whomever it is copied. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { withMeter } from '@holdfast/storage';
import { faultyStore, MemoryDisk, noise } from '@holdfast/testing';
import { kindsOf } from '../backup/patched-chunks-fixture.ts';
import { hashAlgorithms } from '../chunk/hash.ts';
import { choosePoints, deletePoints, undeletePoints } from '../collect/trash.ts';
import { listSessions } from '../session/session.ts';
import { assertRestores, backupOf, newRepository, smallChunkBytes, through } from '../repository-fixture.ts';
import { assertCopied, copyOf, makeHistory, makePatched, makeVolume, pointsOf } from './copy-fixture.ts';
import { assertAllCopied, copyPoints, planCopy } from './copy-points.ts';

const chunk = smallChunkBytes;

const formats = hashAlgorithms.flatMap((hash) => [
  { hash, encrypted: false, secret: 'any' },
  { hash, encrypted: true, secret: 'one' },
  { hash, encrypted: true, secret: 'two' },
]);
const nameOf = ({ hash, encrypted, secret }: (typeof formats)[number]) =>
  `${hash}, ${encrypted ? `encrypted with secret ${secret}` : 'not encrypted'}`;

for (const from of formats) {
  test(`every kind of point is copied from a repository of ${nameOf(from)} into every other`, async () => {
    const { repository: source } = await newRepository(from);
    const originals = await makeHistory(source);
    for (const to of formats) {
      const { repository: target } = await newRepository({ ...to, packBytes: 4 * chunk });
      const report = await copyPoints({ source, target });
      assertAllCopied(report);
      assert.deepEqual(
        report.copies.map(({ isNew, warnings }) => ({ isNew, warnings })),
        originals.map(() => ({ isNew: true, warnings: [] })),
      );
      await assertCopied(target, source, originals);
      assert.deepEqual(await listSessions(target), []);
    }
    assert.deepEqual(await listSessions(source), []);
  });
}

test('from encrypted to plain to encrypted: a copy of a copy is a copy of the original', async () => {
  const { repository: first } = await newRepository({ encrypted: true, secret: 'one' });
  const { repository: second } = await newRepository();
  const { repository: third } = await newRepository({ encrypted: true, secret: 'two', hash: 'hmac-sha-256' });
  const originals = await makeHistory(first);
  await copyPoints({ source: first, target: second });
  await copyPoints({ source: second, target: third });
  await assertCopied(third, first, originals);
  for (const target of [first, second, third]) {
    for (const source of [first, second, third]) {
      const { copies, failed } = await copyPoints({ source, target });
      assert.deepEqual(failed, []);
      assert.ok(copies.length === originals.length && copies.every(({ isNew }) => !isNew));
    }
  }
});

test('copying again changes nothing, and the plan says so', async () => {
  const { repository: source } = await newRepository();
  const { store, repository: target } = await newRepository();
  const originals = await makeHistory(source);
  const before = await planCopy({ source, target });
  assert.deepEqual([before.missing.length, before.there.length], [originals.length, 0]);
  assert.equal((await pointsOf(target)).length, 0);
  await copyPoints({ source, target });
  const objects = store.objects();
  const after = await planCopy({ source, target });
  assert.deepEqual([after.missing.length, after.there.length], [0, originals.length]);
  await copyPoints({ source, target });
  assert.deepEqual(store.objects(), objects);
});

test('one point, several, a resource; in the order of time; what is not asked for stays away', async () => {
  const { repository: source } = await newRepository();
  const { repository: target } = await newRepository();
  const [one, two, three, four] = await makeVolume(source);
  await makePatched(source);
  const idOf = (original: typeof one) => original!.point.manifest.id;
  const copied = async (options: Partial<Parameters<typeof copyPoints>[0]>) =>
    (await copyPoints({ source, target, ...options })).copies
      .filter(({ isNew }) => isNew)
      .map(({ from }) => from.manifest.id);
  assert.deepEqual(await copied({ points: [idOf(three)] }), [idOf(three)]);
  assert.deepEqual(await copied({ points: ['latest', idOf(one), idOf(three)], resource: 'volumes/web' }), [
    idOf(one),
    idOf(four),
  ]);
  assert.deepEqual(await copied({ resource: 'volumes/web' }), [idOf(two)]);
  await assertCopied(target, source, [one!, two!, three!, four!]);
  await assert.rejects(copied({ points: ['bkp_00000000'] }), (error) => hasCode(error, 'point_not_found'));
  await assert.rejects(copied({ resource: 'volumes/none' }), (error) => hasCode(error, 'point_not_found'));
});

test('of an increment only the chunks that differ are fetched', async () => {
  const { repository } = await newRepository();
  const { repository: target } = await newRepository({ encrypted: true });
  const disk = new MemoryDisk(600 * chunk);
  disk.write(noise({ seed: 1, length: 300 * chunk }), 0);
  const { point: parent } = await backupOf(repository, { vda: disk });
  const metered = withMeter({ store: repository.store });
  const source = through(repository, metered);
  await copyPoints({ source, target });
  disk.write(noise({ seed: 2, length: chunk }), 7 * chunk);
  disk.zero({ offset: 200 * chunk, length: 20 * chunk });
  disk.write(noise({ seed: 3, length: chunk }), 599 * chunk);
  const { point } = await backupOf(repository, { vda: disk }, { parent });
  const before = metered.snapshot().bytesGot;
  const { copies } = await copyPoints({ source, target });
  const fetched = metered.snapshot().bytesGot - before;
  assert.ok(fetched > 2 * chunk && fetched < 3.5 * chunk, `${fetched} bytes`);
  const { to } = copies.at(-1)!;
  assert.equal(to.manifest.disks[0]!.counters.new_chunks, 2);
  assert.equal(to.manifest.copied_from?.point, point.manifest.id);
  assert.equal(to.manifest.parent, copies[0]!.to.manifest.id);
  await assertRestores(target, to, { vda: disk });
});

test('when a disk came or went, of the others only the chunks that differ are fetched', async () => {
  const { repository } = await newRepository();
  const { repository: target } = await newRepository({ encrypted: true });
  const disks = { vda: new MemoryDisk(300 * chunk), vdb: new MemoryDisk(4 * chunk) };
  disks.vda.write(noise({ seed: 1, length: 50 * chunk }), 0);
  disks.vdb.write(noise({ seed: 2, length: 2 * chunk }), 0);
  const { vda } = disks;
  const goingOn = { mayDisksDiffer: true, changed: { vda: [] } };
  const { point: one } = await backupOf(repository, { vda });
  const { point: two } = await backupOf(repository, disks, { ...goingOn, parent: one });
  const { point: three } = await backupOf(repository, { vda }, { ...goingOn, parent: two });
  const metered = withMeter({ store: repository.store });
  const source = through(repository, metered);
  const fetched = async (point: string): Promise<number> => {
    const before = metered.snapshot().bytesGot;
    assertAllCopied(await copyPoints({ source, target, points: [point] }));
    return metered.snapshot().bytesGot - before;
  };
  assert.ok((await fetched(one.manifest.id)) > 50 * chunk);
  const [added, taken] = [await fetched(two.manifest.id), await fetched(three.manifest.id)];
  assert.ok(added > 2 * chunk && added < 3.5 * chunk, `${added} bytes`);
  assert.ok(taken < chunk, `${taken} bytes`);
  await assertCopied(target, repository, [
    { point: one, disks: { vda } },
    { point: two, disks },
    { point: three, disks: { vda } },
  ]);
});

test('content that the target has from elsewhere is stored once', async () => {
  const { repository: source } = await newRepository();
  const { store, repository: target } = await newRepository({ encrypted: true });
  const [original] = await makeVolume(source);
  await backupOf(target, original!.disks, { resource: 'volumes/other' });
  const packs = () => [...store.objects().keys()].filter((key) => key.includes('/data/')).length;
  const before = packs();
  await copyPoints({ source, target, points: [original!.point.manifest.id] });
  assert.equal(packs(), before);
});

test('chunks that changed a little are patches in the copy too', async () => {
  const { repository: source } = await newRepository();
  const { repository: target } = await newRepository({ encrypted: true });
  const originals = await makePatched(source);
  await copyPoints({ source, target });
  const copies = await assertCopied(target, source, originals);
  for (const [index, { point }] of originals.entries()) {
    assert.deepEqual(await kindsOf(target, copies[index]!), await kindsOf(source, point));
  }
  assert.ok((await kindsOf(target, copies[3]!)).includes('split'));
});

test('with the same keys on both sides the target is asked by id, and what it has is not fetched', async () => {
  for (const encrypted of [false, true]) {
    const { store, repository } = await newRepository({ encrypted });
    const [original] = await makeVolume(repository);
    // As a directory that was copied: same identity and keys, then apart.
    const target = through(repository, store.clone());
    const { point } = await backupOf(repository, original!.disks, { resource: 'volumes/same', chunkBytes: chunk });
    const watched = faultyStore({ store });
    const { copies } = await copyPoints({ source: through(repository, watched), target });
    const { to } = copies.find(({ isNew }) => isNew)!;
    assert.equal(to.manifest.copied_from?.point, point.manifest.id);
    assert.equal(to.manifest.disks[0]!.counters.read_bytes, 0);
    assert.ok(!watched.calls.some(({ verb, key }) => verb === 'get' && key.includes('/data/')));
    await assertRestores(target, to, original!.disks);
  }
});

test('a copy in the trash of the target is there and is said to be; undeleted, it is the copy again', async () => {
  const { repository: source } = await newRepository();
  const { repository: target } = await newRepository();
  const originals = await makeVolume(source);
  const { copies } = await copyPoints({ source, target });
  const points = await choosePoints({
    repository: target,
    words: [copies[0]!.to.manifest.id],
    state: 'available',
  });
  await deletePoints({ repository: target, points });
  const again = await copyPoints({ source, target });
  assert.ok(again.copies.every(({ isNew }) => !isNew));
  assert.match(again.copies.flatMap(({ warnings }) => warnings).join(), /in the trash/);
  await undeletePoints({ repository: target, points });
  assert.deepEqual(
    (await copyPoints({ source, target })).copies.flatMap(({ warnings }) => warnings),
    [],
  );
  await assertCopied(target, source, originals);
});

test('of two copies at once each point arrives once', async () => {
  const { repository: source } = await newRepository();
  const { repository: target } = await newRepository();
  const originals = [...(await makeVolume(source)), ...(await makePatched(source))];
  const reports = await Promise.all([copyPoints({ source, target }), copyPoints({ source, target })]);
  for (const { failed } of reports) {
    for (const { error } of failed) assert.ok(hasCode(error, 'resource_busy'), String(error));
  }
  const made = reports.flatMap(({ copies }) => copies).filter(({ isNew }) => isNew).length;
  assert.equal(made, (await pointsOf(target)).length);
  assertAllCopied(await copyPoints({ source, target }));
  await assertCopied(target, source, originals);
});

test('a backup in the target goes on from a copy in a series of its own', async () => {
  const { repository: source } = await newRepository();
  const { repository: target } = await newRepository();
  const originals = await makeVolume(source);
  await copyPoints({ source, target });
  const { point: last, disks } = originals.at(-1)!;
  const parent = copyOf(target, source, { points: await pointsOf(target), point: last })!;
  const { point, warnings } = await backupOf(target, disks, { resource: 'volumes/web', parent, changed: { vda: [] } });
  assert.equal(warnings.length, 1);
  assert.notEqual(point.manifest.series, parent.manifest.series);
  assert.equal(point.manifest.increment_id, 1);
  assert.equal(point.manifest.disks[0]!.counters.new_chunks, 0);
});

test('progress reaches the size of all that is copied, and never goes back', async () => {
  const { repository: source } = await newRepository();
  const { repository: target } = await newRepository();
  const originals = await makeHistory(source);
  const totalBytes = originals
    .flatMap(({ disks }) => Object.values(disks))
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let last = 0;
  await copyPoints({
    source,
    target,
    onProgress: (step) => {
      assert.equal(step.totalBytes, totalBytes);
      assert.ok(step.doneBytes >= last);
      last = step.doneBytes;
    },
  });
  assert.equal(last, totalBytes);
});

test('an abort ends it with its reason; what was copied stays, and the next run goes on', async () => {
  const { repository: source } = await newRepository();
  const { repository: target } = await newRepository();
  const originals = await makeVolume(source);
  const stop = new AbortController();
  const reason = new Error('enough');
  const onProgress = ({ doneBytes }: { doneBytes: number }) => doneBytes > 12 * chunk && stop.abort(reason);
  await assert.rejects(copyPoints({ source, target, onProgress, signal: stop.signal }), reason);
  assert.ok([1, 2].includes((await pointsOf(target)).length));
  assert.deepEqual([await listSessions(source), await listSessions(target)], [[], []]);
  assertAllCopied(await copyPoints({ source, target }));
  await assertCopied(target, source, originals);
});

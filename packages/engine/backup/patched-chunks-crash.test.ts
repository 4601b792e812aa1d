/** A process that dies at any storage call of an increment that makes patches: as crash.test.ts tells it of whole chunks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KiB } from '@holdfast/base';
import { type Fault, faultyStore, type MemoryDisk, SimulatedCrash } from '@holdfast/testing';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import type { RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, assertVerifies, backupOf, newRepository, through } from '../repository-fixture.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { assertSound, diskOfNoise, kindsOf, touch } from './patched-chunks-fixture.ts';

const chunkBytes = 256 * KiB;
const count = chunkBytes / subChunkBytes;

type Kept = { readonly point: RestorePoint; readonly disk: MemoryDisk };

/** Two points, and an increment that patches chunks anew, for the first time, and stores one whole. */
async function story() {
  // Two patches a pack, so that uploads run beside reading.
  const { store, repository } = await newRepository({ chunkBytes, packBytes: 160 * KiB });
  const disk = diskOfNoise(6 * chunkBytes + 100);
  const first = { point: (await backupOf(repository, { vda: disk })).point, disk: disk.clone() };
  const early = { vda: touch(disk, [0, count + 1, 2 * count + 2], 10) };
  const { point } = await backupOf(repository, { vda: disk }, { parent: first.point, changed: early });
  const second = { point, disk: disk.clone() };
  const late = { vda: touch(disk, [0, count + 1, 3 * count, 4 * count, 5 * count, 5 * count + 1], 20) };
  const kinds = ['split', 'split', 'split', 'split', 'split', 'data', 'data'];
  return {
    store,
    repository,
    kept: [first, second],
    disk,
    kinds,
    increment: (to: Repository) => backupOf(to, { vda: disk }, { parent: point, changed: late }),
  };
}

for (const when of ['before', 'partial', 'after'] as const) {
  test(`an increment of patches that dies at any storage call (${when} its effect)`, async () => {
    const { store: start, repository, kept, disk, kinds, increment } = await story();
    for (let call = 1; ; call += 1) {
      const store = start.clone();
      const script = (request: { readonly call: number }): Fault | undefined =>
        request.call === call ? { kind: 'crash', when } : undefined;
      const dying = faultyStore({ store, script });
      const ended = await increment(through(repository, dying)).then(
        () => undefined,
        (error: unknown) => error,
      );
      const survivor = through(repository, store);
      await assertSurvives({ survivor, kept, disk });
      if (!dying.crashed) {
        assert.equal(ended, undefined);
        assert.ok(call > 20, `only ${call} calls`);
        break;
      }
      // The index and the session's end come after the commit: a backup may be done by then.
      if (ended !== undefined) assert.ok(ended instanceof SimulatedCrash, `call ${call}`);
      for (const { id } of await listSessions(survivor)) await fenceSession(survivor, id);
      const { point } = await increment(survivor);
      assert.deepEqual(await kindsOf(survivor, point), kinds);
      await assertRestores(survivor, point, { vda: disk });
      await assertSurvives({ survivor, kept, disk });
    }
  });
}

/** What was committed is as it was; whatever else is listed is a whole point of the disk. */
async function assertSurvives(request: {
  readonly survivor: Repository;
  readonly kept: readonly Kept[];
  readonly disk: MemoryDisk;
}): Promise<void> {
  const { survivor, kept, disk } = request;
  const points = await assertVerifies(survivor);
  for (const { point } of kept) assert.ok(points.some(({ key }) => key === point.key));
  for (const point of points) {
    const due = kept.find((other) => other.point.key === point.key)?.disk ?? disk;
    await assertRestores(survivor, point, { vda: due });
    await assertSound(survivor, point);
  }
}

/** A source with every kind of point, and the proof that a copy is the point that it was made from. */
import assert from 'node:assert/strict';
import type { Extent } from '@holdfast/base';
import { applyChange, MemoryDisk, noise, text } from '@holdfast/testing';
import { listPoints, type RestorePoint } from '../manifest/points.ts';
import { readFrame } from '../pack/frame-reader.ts';
import type { Repository } from '../repository/repository.ts';
import {
  assertRestores,
  assertVerifies,
  backupOf,
  countedUses,
  smallChunkBytes,
  tableUses,
} from '../repository-fixture.ts';
import { provenanceOf } from './provenance.ts';

const chunk = smallChunkBytes;

export type Original = { readonly point: RestorePoint; readonly disks: Readonly<Record<string, MemoryDisk>> };

/**
 * A volume (full, data that became zero, grown over a page, shrunk), one of patched chunks, a machine of two disks with its
 * configuration and an increment, and an import.
 */
export async function makeHistory(repository: Repository): Promise<Original[]> {
  return [
    ...(await makeVolume(repository)),
    ...(await makePatched(repository)),
    ...(await makeMachine(repository)),
    await makeImport(repository),
  ];
}

export async function makeVolume(repository: Repository): Promise<Original[]> {
  const disk = new MemoryDisk(9 * chunk + 100);
  disk.write(noise({ seed: 1, length: 4 * chunk }), chunk);
  disk.write(text({ seed: 2, length: 100 }), 9 * chunk);
  return await takeSeries(repository, { resource: 'volumes/web', disk }, [
    () => [],
    () => {
      disk.zero({ offset: 2 * chunk, length: chunk });
      return [{ offset: 2 * chunk, length: chunk }];
    },
    () => {
      disk.resize(300 * chunk);
      applyChange(disk, { kind: 'noise', offset: 299 * chunk, length: 500, seed: 4 });
      return [];
    },
    () => {
      disk.resize(4 * chunk + 1);
      return [];
    },
  ]);
}

/** Chunks of four sub-chunks; each increment touches one of them. */
export async function makePatched(repository: Repository): Promise<Original[]> {
  const disk = new MemoryDisk(12 * chunk);
  disk.write(noise({ seed: 5, length: 12 * chunk }), 0);
  const touch = (offset: number) => () => {
    applyChange(disk, { kind: 'noise', offset, length: 100, seed: offset });
    return [{ offset, length: 100 }];
  };
  const steps = [() => [], touch(chunk), touch(9 * chunk), touch(9 * chunk + 200)];
  return await takeSeries(repository, { resource: 'volumes/log', disk, chunkBytes: 4 * chunk }, steps);
}

async function takeSeries(
  repository: Repository,
  about: { readonly resource: string; readonly disk: MemoryDisk; readonly chunkBytes?: number },
  steps: readonly (() => Extent[])[],
): Promise<Original[]> {
  const { disk, ...options } = about;
  const made: Original[] = [];
  for (const step of steps) {
    const changed = { vda: step() };
    const parent = made.at(-1)?.point;
    const label = `number ${made.length}`;
    const { point } = await backupOf(
      repository,
      { vda: disk },
      { ...options, label, parent, ...(parent && { changed }) },
    );
    made.push({ point, disks: { vda: disk.clone() } });
  }
  return made;
}

async function makeMachine(repository: Repository): Promise<Original[]> {
  const disks = { vda: new MemoryDisk(3 * chunk), vdb: new MemoryDisk(1) };
  disks.vda.write(text({ seed: 1, length: 2 * chunk }), chunk);
  const options = {
    resource: 'instances/db',
    guestConfiguration: Buffer.from('<domain><name>db</name></domain>'),
    consistency: 'filesystem',
  } as const;
  const first = await backupOf(repository, disks, options);
  const before = { vda: disks.vda.clone(), vdb: disks.vdb.clone() };
  disks.vda.write(noise({ seed: 3, length: 50 }), 0);
  const changed = { vda: [{ offset: 0, length: 50 }], vdb: [] };
  const second = await backupOf(repository, disks, { ...options, parent: first.point, changed });
  return [
    { point: first.point, disks: before },
    { point: second.point, disks },
  ];
}

async function makeImport(repository: Repository): Promise<Original> {
  const disk = new MemoryDisk(5 * chunk);
  disk.write(text({ seed: 7, length: 4 * chunk }), 100);
  const options = { resource: 'volumes/old', origin: 'import', chunkBytes: 4 * chunk, takenAtMs: 1e12 } as const;
  const { point } = await backupOf(repository, { vda: disk }, options);
  return { point, disks: { vda: disk } };
}

/** The copy in `target` of each original: the same bytes, the same description, a sound table; and nothing else is there. */
export async function assertCopied(
  target: Repository,
  source: Repository,
  originals: readonly Original[],
): Promise<readonly RestorePoint[]> {
  const points = await assertVerifies(target);
  assert.equal(points.length, originals.length);
  const copies: RestorePoint[] = [];
  for (const { point, disks } of originals) {
    const copy = copyOf(target, source, { points, point });
    assert.ok(copy, `${point.key} has no copy`);
    await assertRestores(target, copy, disks);
    assert.deepEqual(await tableUses(target, copy), await countedUses(target, copy));
    assert.deepEqual(described(copy), described(point));
    await assertSameConfiguration({ target, source, copy, point });
    copies.push(copy);
  }
  return copies;
}

export function copyOf(
  target: Repository,
  source: Repository,
  { points, point }: { readonly points: readonly RestorePoint[]; readonly point: RestorePoint },
): RestorePoint | undefined {
  const wanted = provenanceOf(source, point);
  const found = points.filter((one) => {
    const { repository, point: id } = provenanceOf(target, one);
    return repository === wanted.repository && id === wanted.point;
  });
  assert.ok(found.length <= 1, 'one copy of a point at most');
  return found[0];
}

/** What a copy keeps. */
function described({ manifest }: RestorePoint): object {
  const { resource, created_at, series, increment_id, label, consistency, origin, requested, actual } = manifest;
  const { zone, host, disks } = manifest;
  return {
    ...{ resource, created_at, series, increment_id, label, consistency, origin, requested, actual, zone, host },
    disks: disks.map(({ counters: _counters, ...disk }) => disk),
  };
}

async function assertSameConfiguration(request: {
  readonly target: Repository;
  readonly source: Repository;
  readonly copy: RestorePoint;
  readonly point: RestorePoint;
}): Promise<void> {
  const { target, source, copy, point } = request;
  const read = async (repository: Repository, { manifest }: RestorePoint) =>
    manifest.guest_configuration &&
    (await readFrame(repository, { kind: 'guestConfiguration', reference: manifest.guest_configuration }));
  assert.deepEqual(await read(target, copy), await read(source, point));
}

export async function pointsOf(repository: Repository): Promise<readonly RestorePoint[]> {
  return (await listPoints({ repository })).points;
}

/** What the engine's stories share: repositories in memory, backups of memory disks, and the proof that a point is right. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Extent } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { MemoryDisk, MemorySource, MemoryStore, MemoryTarget } from '@holdfast/testing';
import { type BackupOptions, backup } from './backup/backup.ts';
import type { HashAlgorithm } from './chunk/hash.ts';
import { listPoints, type RestorePoint } from './manifest/points.ts';
import { MapReader } from './map/map-reader.ts';
import { locationsOf } from './map/reference-list.ts';
import { encodeDocument } from './repository/document.ts';
import { deriveDomainKeys } from './repository/domain-keys.ts';
import { ChunkCodec } from './codec/chunk-codec.ts';
import { epochKey } from './repository/layout.ts';
import { initRepository, openRepository, type Repository } from './repository/repository.ts';
import { restoreDisk } from './restore/restore-disk.ts';
import { tableOfPoint } from './verify/point-packs.ts';
import { verifyRepository } from './verify/verify-repository.ts';

export const smallChunkBytes = 64 * 1024;
export const passphrase = 'a long enough passphrase';

export type NewRepositoryOptions = {
  readonly hash?: HashAlgorithm | undefined;
  readonly encrypted?: boolean;
  /** Of an encrypted one; repositories with the same secret have the same keys. */
  readonly secret?: string;
  readonly chunkBytes?: number;
  readonly packBytes?: number;
  readonly store?: MemoryStore;
};

/**
 * A new repository in memory, opened. An encrypted one gets its keys without a passphrase's stretching, which would cost
 * a fifth of a second for each; `openRepository` with a passphrase has its own tests.
 */
export async function newRepository(
  options: NewRepositoryOptions = {},
): Promise<{ readonly store: MemoryStore; readonly repository: Repository }> {
  const { hash = 'blake3', encrypted = false, chunkBytes = smallChunkBytes, packBytes } = options;
  const { secret: secretText = 'secret of a test' } = options;
  const store =
    options.store ??
    new MemoryStore(packBytes === undefined ? {} : { capabilities: { preferredPackBytes: packBytes } });
  await initRepository({ store, hash, chunkBytes });
  const opened = await openRepository({ store });
  if (!encrypted) return { store, repository: opened };
  const secret = createHash('sha256').update(secretText).digest();
  const keys = deriveDomainKeys({ domain: opened.domain, epoch: 1, secret, encrypted: true });
  return { store, repository: { ...opened, keys, codec: new ChunkCodec({ keys, algorithm: hash }) } };
}

/** The same repository seen through another store. */
export function through(repository: Repository, store: BlobStore): Repository {
  return { ...repository, store };
}

/** A backup of disks that are read from memory; further options as they are. */
export async function backupOf(
  repository: Repository,
  disks: Readonly<Record<string, MemoryDisk>>,
  options: Partial<Omit<BackupOptions, 'disks' | 'repository'>> & {
    readonly changed?: Readonly<Record<string, readonly Extent[]>>;
    readonly tellsHoles?: boolean;
  } = {},
) {
  const { changed, tellsHoles = true, ...rest } = options;
  return await backup({
    resource: 'volumes/a',
    ...rest,
    repository,
    disks: Object.entries(disks).map(([name, disk]) => ({
      name,
      source: new MemorySource({ disk, tellsHoles }),
      changed: changed?.[name],
    })),
  });
}

/** What the point gives back for a disk, on a fresh target. */
export async function restored(repository: Repository, point: RestorePoint, disk?: string): Promise<MemoryDisk> {
  const index = disk === undefined ? 0 : point.manifest.disks.findIndex(({ name }) => name === disk);
  const to = new MemoryDisk(point.manifest.disks[index]!.size_bytes);
  await restoreDisk({ repository, point, disk, target: new MemoryTarget({ disk: to, fresh: true }) });
  return to;
}

export async function assertRestores(
  repository: Repository,
  point: RestorePoint,
  disks: Readonly<Record<string, MemoryDisk>>,
): Promise<void> {
  assert.deepEqual(point.manifest.disks.map(({ name }) => name).sort(), Object.keys(disks).sort());
  for (const [name, disk] of Object.entries(disks)) {
    const differsAt = disk.differsFrom(await restored(repository, point, name));
    assert.equal(differsAt, undefined, `${point.manifest.id} ${name}: the first byte that differs is at ${differsAt}`);
  }
}

/** Every listed point is whole, none is damaged. Answers them oldest first. */
export async function assertVerifies(repository: Repository): Promise<readonly RestorePoint[]> {
  const report = await verifyRepository({ repository, scope: 'scrub' });
  assert.deepEqual(
    report.points.flatMap(({ problems }) => problems),
    [],
  );
  assert.deepEqual(
    { ...report.packs, checked: 0 },
    { checked: 0, missing: 0, damaged: 0, contained: 0, young: 0, left: 0 },
  );
  assert.ok(report.points.every(({ checked }) => checked));
  const { points, damaged } = await listPoints({ repository });
  assert.equal(damaged.length, 0);
  assert.equal(points.length, report.points.length);
  return points;
}

type Uses = Readonly<Record<string, readonly number[]>>;

/** The pack table as the point has it: kind and id of each pack with its uses by slot. */
export async function tableUses(repository: Repository, point: RestorePoint): Promise<Uses> {
  const table: Record<string, readonly number[]> = {};
  for await (const { packId, use } of tableOfPoint(repository, point.manifest)) {
    assert.equal(table[`${use.kind} ${packId}`], undefined, 'a pack is on one page');
    table[`${use.kind} ${packId}`] = use.uses;
  }
  return sorted(table);
}

/** The pack table as it should be, counted by walking every map of the point. */
export async function countedUses(repository: Repository, point: RestorePoint): Promise<Uses> {
  const table: Record<string, number[]> = {};
  const count = (pack: string, slot: number) => {
    const uses = (table[pack] ??= []);
    while (uses.length <= slot) uses.push(0);
    uses[slot]! += 1;
  };
  for (const root of point.manifest.roots) {
    const map = await MapReader.open(repository, { root });
    for (let page = 0; page < map.geometry.pageCount; page += 1) {
      const reference = map.pageReference(page);
      if (reference.kind === 'data') count(`meta ${reference.location.packId}`, reference.location.slot);
      for (const entry of await map.page(page)) {
        for (const { packId, slot } of locationsOf(entry)) count(`data ${packId}`, slot);
      }
    }
  }
  return sorted(table);
}

function sorted(table: Readonly<Record<string, readonly number[]>>): Uses {
  return Object.fromEntries(Object.entries(table).sort(([left], [right]) => (left < right ? -1 : 1)));
}

export const condemnedKey = epochKey('00000001-0a1b2c3d', 'condemned');

/** Announces that these packs will be collected. */
export async function condemn(repository: Repository, packs: readonly string[]): Promise<void> {
  const { domain } = repository;
  const content = encodeDocument({
    version: 1,
    packs: packs.map((pack) => ({ domain, pack, kind: 'data', moved: false })),
  });
  await repository.store.put(condemnedKey, { buffers: [content] });
}

/** Ids of the packs that the point uses. */
export async function packsOf(repository: Repository, point: RestorePoint): Promise<readonly string[]> {
  return Object.keys(await tableUses(repository, point)).map((name) => name.split(' ')[1]!);
}

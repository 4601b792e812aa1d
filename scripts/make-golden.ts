/**
 * Makes `fixtures/format/<version>/`: repositories as this version writes them, which every later version reopens. Run it
 * once when a new format version is released; what is there of a released version is never made again.
 *
 *   node scripts/make-golden.ts NEW_DIRECTORY        (points carry the host's name: `unshare --uts` gives it a neutral one)
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  backup,
  initRepository,
  openRepository,
  type Repository,
  type RestorePoint,
} from '../packages/engine/index.ts';
import { LocalStore } from '../packages/storage/index.ts';
import { applyChange, MemoryDisk, MemorySource } from '../packages/testing/index.ts';

const chunkBytes = 64 * 1024;

const variants = [
  { name: 'plain', hash: 'blake3', passphrase: undefined },
  { name: 'encrypted', hash: 'hmac-sha-256', passphrase: 'golden passphrase, kept for ever' },
] as const;

const directory = process.argv[2];
if (directory === undefined) throw new Error('usage: make-golden.ts NEW_DIRECTORY');
await mkdir(directory);
for (const { name, hash, passphrase } of variants) {
  const path = join(directory, name);
  await mkdir(path);
  const points = await makeRepository({ path, hash, passphrase });
  await writeFile(
    join(directory, `${name}.json`),
    `${JSON.stringify({ passphrase: passphrase ?? null, points }, null, 2)}\n`,
  );
}

type Expected = {
  readonly id: string;
  readonly resource: string;
  readonly increment_id: number | null;
  readonly disks: readonly { readonly name: string; readonly size_bytes: number; readonly sha256: string }[];
};

async function makeRepository(options: {
  readonly path: string;
  readonly hash: 'blake3' | 'hmac-sha-256';
  readonly passphrase: string | undefined;
}): Promise<Expected[]> {
  const { path, hash, passphrase } = options;
  await using store = await LocalStore.open({ directory: path });
  await initRepository({ store, chunkBytes, hash, passphrase });
  const repository = await openRepository({ store, passphrase });
  const points = [
    ...(await makeSeries(repository)),
    ...(await makePatched(repository)),
    await makeInstance(repository),
    await makeImport(repository),
  ];
  await rm(join(path, 'sess'), { recursive: true, force: true });
  return points;
}

/** A volume: full, an increment with data that became zero, one that grew over a page, one that shrank. */
async function makeSeries(repository: Repository): Promise<Expected[]> {
  const disk = new MemoryDisk(10 * chunkBytes + 321);
  applyChange(disk, { kind: 'text', offset: 0, length: 4 * chunkBytes, seed: 1 });
  applyChange(disk, { kind: 'noise', offset: 5 * chunkBytes + 100, length: 9000, seed: 2 });
  applyChange(disk, { kind: 'copy', offset: 7 * chunkBytes, length: chunkBytes, from: 0 });
  applyChange(disk, { kind: 'text', offset: 10 * chunkBytes, length: 321, seed: 3 });
  const points: Expected[] = [];
  let parent: RestorePoint | undefined;
  const take = async (changed: readonly { offset: number; length: number }[]) => {
    const source = new MemorySource({ disk });
    const disks = [{ name: 'vda', source, changed: parent && changed }];
    const { point } = await backup({ repository, resource: 'volumes/web', parent, disks, label: 'golden' });
    parent = point;
    points.push(expected(point, { vda: disk }));
  };
  await take([]);
  const zeroed = { offset: chunkBytes, length: chunkBytes };
  disk.zero(zeroed);
  await take([zeroed]);
  disk.resize(300 * chunkBytes);
  applyChange(disk, { kind: 'noise', offset: 299 * chunkBytes, length: 500, seed: 4 });
  await take([]);
  disk.resize(6 * chunkBytes);
  await take([]);
  return points;
}

/** A volume whose chunks change a little twice: the second patch replaces the first. */
async function makePatched(repository: Repository): Promise<Expected[]> {
  const disk = new MemoryDisk(9 * chunkBytes);
  applyChange(disk, { kind: 'text', offset: 0, length: 9 * chunkBytes, seed: 5 });
  const points: Expected[] = [];
  let parent: RestorePoint | undefined;
  for (const offset of [undefined, 2 * chunkBytes, 7 * chunkBytes, 7 * chunkBytes + 9]) {
    if (offset !== undefined) applyChange(disk, { kind: 'noise', offset, length: 100, seed: 6 });
    const changed = parent && offset !== undefined ? [{ offset, length: 100 }] : undefined;
    const disks = [{ name: 'vda', source: new MemorySource({ disk }), changed }];
    const { point } = await backup({ repository, resource: 'volumes/log', parent, chunkBytes: 4 * chunkBytes, disks });
    parent = point;
    points.push(expected(point, { vda: disk }));
  }
  return points;
}

/** A machine: two disks, one of them empty, and its configuration. */
async function makeInstance(repository: Repository): Promise<Expected> {
  const disks = { vda: new MemoryDisk(3 * chunkBytes), vdb: new MemoryDisk(1) };
  applyChange(disks.vda, { kind: 'text', offset: chunkBytes, length: 2 * chunkBytes, seed: 1 });
  const { point } = await backup({
    repository,
    resource: 'instances/db',
    disks: Object.entries(disks).map(([name, disk]) => ({ name, source: new MemorySource({ disk }) })),
    guestConfiguration: Buffer.from('<domain type="kvm"><name>db</name></domain>\n'),
    consistency: 'filesystem',
  });
  return expected(point, disks);
}

/** A legacy point, with a chunk size and a compression level of its own. */
async function makeImport(repository: Repository): Promise<Expected> {
  const disk = new MemoryDisk(5 * chunkBytes);
  applyChange(disk, { kind: 'text', offset: 100, length: 4 * chunkBytes, seed: 7 });
  const { point } = await backup({
    repository,
    resource: 'volumes/old',
    origin: 'import',
    chunkBytes: 4 * chunkBytes,
    level: 3,
    disks: [{ name: 'vda', source: new MemorySource({ disk }) }],
  });
  return expected(point, { vda: disk });
}

function expected(point: RestorePoint, disks: Readonly<Record<string, MemoryDisk>>): Expected {
  const { id, resource, increment_id } = point.manifest;
  return {
    id,
    resource,
    increment_id,
    disks: Object.entries(disks).map(([name, disk]) => ({ name, size_bytes: disk.sizeBytes, sha256: disk.sha256() })),
  };
}

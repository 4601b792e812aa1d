/**
 * Runs of random ids for benches and memory tests: as large as wanted, the same for the same seed, never in memory as a
 * whole. Entries are generated shard by shard, 64 to a pack.
 */
import { createCipheriv, createHash } from 'node:crypto';
import type { BlobStore } from '@holdfast/storage';
import type { ChunkLocation } from './chunk-location.ts';
import { entryBytes, idBytes, readEntry, writeEntry } from './entry.ts';
import { mergeEntries } from './merge-entries.ts';
import { packRecordBytes } from './run-layout.ts';
import { putRun } from './run-writer.ts';
import { shardBitsFor } from './shard.ts';

const entriesPerPack = 64;
const storedBytes = 512 * 1024;
const publishedMs = 1_700_000_000_000;

export type SyntheticRunRequest = {
  readonly store: BlobStore;
  /** The run is seen by an index only when this ends in a run's name: 12 hex digits, a dash, 16 hex digits. */
  readonly key: string;
  readonly entries: number;
  readonly seed: number;
  readonly entriesPerBlock?: number;
  readonly signal?: AbortSignal | undefined;
};

/** @throws storage errors and the abort reason */
export async function buildSyntheticRun(request: SyntheticRunRequest): Promise<{ readonly sizeBytes: number }> {
  const { store, key, entries, seed, entriesPerBlock, signal } = request;
  const shardBits = shardBitsFor(entries);
  const source = { open: () => unsortedShards({ entries, seed, shardBits }) };
  const put = await putRun({
    store,
    key,
    nonce: randomBytesOf(`${seed} nonce`, 16),
    shards: mergeEntries({ sources: [source], shardBits }),
    packs: syntheticPacks(Math.ceil(entries / entriesPerPack)),
    ...(entriesPerBlock !== undefined && { entriesPerBlock }),
    signal,
  });
  return { sizeBytes: put?.sizeBytes ?? 0 };
}

/** Some chunks of the run that `buildSyntheticRun` makes of the same `entries` and `seed`: all those of one shard. */
export function syntheticChunks(request: {
  readonly entries: number;
  readonly seed: number;
  readonly shard: number;
}): readonly { readonly id: Buffer; readonly location: ChunkLocation }[] {
  const shardBits = shardBitsFor(request.entries);
  const bytes = unsortedShard({ ...request, shard: request.shard % 2 ** shardBits, shardBits });
  return Array.from({ length: bytes.length / entryBytes }, (_, ordinal) => {
    const { pack, ...place } = readEntry(bytes, ordinal * entryBytes);
    const id = Buffer.from(bytes.subarray(ordinal * entryBytes, ordinal * entryBytes + idBytes));
    return { id, location: { packId: packIdOf(pack).toString('hex'), ...place } };
  });
}

async function* unsortedShards(request: {
  readonly entries: number;
  readonly seed: number;
  readonly shardBits: number;
}): AsyncGenerator<Buffer> {
  for (let shard = 0; shard < 2 ** request.shardBits; shard += 1) yield unsortedShard({ ...request, shard });
}

function unsortedShard(request: {
  readonly entries: number;
  readonly seed: number;
  readonly shardBits: number;
  readonly shard: number;
}): Buffer {
  const { entries, seed, shardBits, shard } = request;
  const shards = 2 ** shardBits;
  const first = Math.floor((entries * shard) / shards);
  const count = Math.floor((entries * (shard + 1)) / shards) - first;
  const ids = randomBytesOf(`${seed} ${shard}`, count * idBytes);
  const bytes = Buffer.alloc(count * entryBytes);
  for (let ordinal = 0; ordinal < count; ordinal += 1) {
    const id = ids.subarray(ordinal * idBytes, (ordinal + 1) * idBytes);
    if (shardBits > 0) {
      const prefix = shard * 2 ** (32 - shardBits);
      id.writeUInt32BE(prefix + (id.readUInt32BE(0) >>> shardBits), 0);
    }
    const slot = (first + ordinal) % entriesPerPack;
    const pack = Math.floor((first + ordinal) / entriesPerPack);
    writeEntry(bytes, ordinal * entryBytes, id, { pack, slot, offset: slot * storedBytes, storedBytes });
  }
  return bytes;
}

function syntheticPacks(count: number): Buffer {
  const records = Buffer.alloc(count * packRecordBytes);
  for (let pack = 0; pack < count; pack += 1) {
    packIdOf(pack).copy(records, pack * packRecordBytes);
    records.writeUIntLE(publishedMs, pack * packRecordBytes + idBytes, 6);
  }
  return records;
}

function packIdOf(pack: number): Buffer {
  const id = Buffer.alloc(idBytes, 0x5a);
  id.writeUInt32BE(pack, 0);
  return id;
}

function randomBytesOf(label: string, sizeBytes: number): Buffer {
  const key = createHash('sha256').update(label).digest().subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

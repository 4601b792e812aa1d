/**
 * Writing a run from shards of sorted entries. Sizes must be known before the first byte (the port takes sized
 * streams), so the shards are asked for twice: once to count and to build the filters (1.2 bytes an entry, in memory),
 * once to write. Small runs are kept from the first pass.
 */
import { MiB } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { entryBytes } from './entry.ts';
import {
  crcBytes,
  damaged,
  encodeHead,
  encodeTrailer,
  layOut,
  packRecordBytes,
  type RunLayout,
  sealPiece,
} from './run-layout.ts';
import { buildFilter } from './shard-filter.ts';

/**
 * Hits have no neighbours in hash order, so a block is what one page holds. Measured (bench/index.ts, 20 million entries,
 * 32 MiB of cache), a hit: 42 entries a block 81 us, 85 70 us, 341 92 us, 1365 251 us.
 */
const defaultEntriesPerBlock = 85;
const packsPerPage = 102;
const keptBytesAtMost = 4 * MiB;
const streamPartBytes = MiB;

/** Sorted entries without double ids, a buffer for each of the 2^shardBits shards in order; the same on every open. */
export type ShardSource = { readonly shardBits: number; readonly open: () => AsyncIterable<Buffer> };

/**
 * Puts one run; nothing is visible before it is whole. Gives its size, or undefined when there was no entry and
 * nothing was put.
 * @throws storage errors; repository_damaged when the shards came out differently the second time
 */
export async function putRun(request: {
  readonly store: BlobStore;
  readonly key: string;
  readonly nonce: Buffer;
  readonly shards: ShardSource;
  /** Pack table in order of ordinals, 40 bytes each (pack-table.ts). */
  readonly packs: Buffer;
  readonly entriesPerBlock?: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<{ readonly sizeBytes: number; readonly entryCount: number } | undefined> {
  const { store, key, shards, signal } = request;
  const filters: Buffer[] = [];
  const shardCounts = new Uint32Array(2 ** shards.shardBits);
  let kept: Buffer[] | undefined = [];
  let entriesBytes = 0;
  for await (const entries of shards.open()) {
    signal?.throwIfAborted();
    const shard = filters.length;
    const count = entries.length / entryBytes;
    shardCounts[shard] = count;
    filters.push(sealedFilter({ entries, count, shard, shardBits: shards.shardBits, nonce: request.nonce }));
    entriesBytes += entries.length;
    if (entriesBytes <= keptBytesAtMost) kept?.push(entries);
    else kept = undefined;
  }
  if (entriesBytes === 0) return undefined;
  const layout = layOut({
    nonce: request.nonce,
    shardBits: shards.shardBits,
    shardCounts,
    packCount: request.packs.length / packRecordBytes,
    entriesPerBlock: request.entriesPerBlock ?? defaultEntriesPerBlock,
    packsPerPage,
  });
  const open = kept === undefined ? shards.open : () => iterate(kept);
  const content = () => fileBytes({ layout, filters, packs: request.packs, entries: open() });
  if (kept === undefined) {
    await store.put(key, { sizeBytes: layout.fileBytes, open: content }, { signal });
  } else {
    await store.put(key, { buffers: await Array.fromAsync(content()) }, { signal });
  }
  return { sizeBytes: layout.fileBytes, entryCount: layout.entryCount };
}

function sealedFilter(request: {
  readonly entries: Buffer;
  readonly count: number;
  readonly shard: number;
  readonly shardBits: number;
  readonly nonce: Buffer;
}): Buffer {
  if (request.count === 0) return Buffer.alloc(0);
  const filter = Buffer.concat([buildFilter(request), Buffer.alloc(crcBytes)]);
  sealPiece(filter, request.nonce, 'filter', request.shard);
  return filter;
}

async function* fileBytes(request: {
  readonly layout: RunLayout;
  readonly filters: readonly Buffer[];
  readonly packs: Buffer;
  readonly entries: AsyncIterable<Buffer>;
}): AsyncGenerator<Buffer> {
  const { layout, filters, packs } = request;
  const head = encodeHead(layout);
  yield head;
  yield* filters;
  yield* sealedEntries(layout, request.entries);
  for (let at = 0; at < packs.length; at += packsPerPage * packRecordBytes) {
    const page = Buffer.concat([packs.subarray(at, at + packsPerPage * packRecordBytes), Buffer.alloc(crcBytes)]);
    sealPiece(page, layout.nonce, 'packs', at / (packsPerPage * packRecordBytes));
    yield page;
  }
  yield encodeTrailer(head);
}

/** Cuts the shards' entries into sealed blocks, many blocks a buffer. */
async function* sealedEntries(layout: RunLayout, shards: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const blockBody = layout.entriesPerBlock * entryBytes;
  const partBytes = Math.max(1, Math.floor(streamPartBytes / (blockBody + crcBytes))) * (blockBody + crcBytes);
  let part = Buffer.allocUnsafeSlow(partBytes);
  let blockStart = 0;
  let end = 0;
  let ordinal = 0;
  let left = layout.entryCount * entryBytes;
  const seal = (): void => {
    end += crcBytes;
    sealPiece(part.subarray(blockStart, end), layout.nonce, 'entries', ordinal);
    ordinal += 1;
    blockStart = end;
  };
  for await (const entries of shards) {
    if (entries.length > left) throw damaged('has sources that changed while it was written');
    left -= entries.length;
    for (let at = 0; at < entries.length; ) {
      const take = Math.min(entries.length - at, blockStart + blockBody - end);
      entries.copy(part, end, at, at + take);
      at += take;
      end += take;
      if (end - blockStart === blockBody) seal();
      if (end === partBytes) {
        yield part;
        part = Buffer.allocUnsafeSlow(partBytes);
        blockStart = 0;
        end = 0;
      }
    }
  }
  if (left !== 0) throw damaged('has sources that changed while it was written');
  if (end > blockStart) seal();
  if (end > 0) yield part.subarray(0, end);
}

async function* iterate(buffers: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* buffers;
}

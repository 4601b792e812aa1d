/**
 * Several sorted sources become the shards of one run. For each shard of the result its part of every source is
 * gathered and sorted: the cost does not depend on the number of sources, memory is one shard and one read a source.
 */
import { entryBytes, packOfEntry, setPackOfEntry } from './entry.ts';
import { publishedMsOf } from './pack-table.ts';
import type { ShardSource } from './run-writer.ts';
import { shardOf } from './shard.ts';
import { sortedOrder } from './sort-entries.ts';

/** Stands in a source's pack map for "leave entries of this pack out". */
export const droppedPack = 0xffff_ffff;

export type EntrySource = {
  /** Sorted entries, whole ones in each buffer; the same on every open. */
  readonly open: () => AsyncIterable<Buffer>;
  /** Ordinal of a pack in the source -> ordinal in the result, or `droppedPack`; absent when they are the same. */
  readonly packMap?: Uint32Array;
};

/**
 * Of several entries of one id the one in the pack published last stays; of equal ones that of the later source.
 * `packs`: the result's pack table,
 * absent when the sources hold no id twice or say nothing about age.
 */
export function mergeEntries(request: {
  readonly sources: readonly EntrySource[];
  readonly packs?: Buffer;
  readonly shardBits: number;
}): ShardSource {
  return { shardBits: request.shardBits, open: () => mergedShards(request) };
}

async function* mergedShards(request: {
  readonly sources: readonly EntrySource[];
  readonly packs?: Buffer;
  readonly shardBits: number;
}): AsyncGenerator<Buffer> {
  const { packs, shardBits } = request;
  const cursors = request.sources.map(({ open, packMap }) => new ShardCursor(open(), packMap));
  try {
    for (let shard = 0; shard < 2 ** shardBits; shard += 1) {
      const gathered: Buffer[] = [];
      for (const cursor of cursors) await cursor.take(shard, shardBits, gathered);
      yield settled(Buffer.concat(gathered), shardBits, packs);
    }
  } finally {
    await Promise.all(cursors.map((cursor) => cursor.close()));
  }
}

class ShardCursor {
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #packMap: Uint32Array | undefined;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(entries: AsyncIterable<Buffer>, packMap: Uint32Array | undefined) {
    this.#iterator = entries[Symbol.asyncIterator]();
    this.#packMap = packMap;
  }

  /** Appends the next entries up to the end of `shard`, their packs renamed, to `into`. */
  async take(shard: number, shardBits: number, into: Buffer[]): Promise<void> {
    for (;;) {
      if (this.#at === this.#buffer.length) {
        const { done, value } = await this.#iterator.next();
        if (done) return;
        this.#buffer = value;
        this.#at = 0;
      }
      const from = this.#at;
      while (this.#at < this.#buffer.length && shardOf(this.#buffer, this.#at, shardBits) <= shard) {
        this.#at += entryBytes;
      }
      if (this.#at > from) into.push(this.#renamed(from, this.#at));
      if (this.#at < this.#buffer.length) return;
    }
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  #renamed(from: number, until: number): Buffer {
    if (this.#packMap === undefined) return this.#buffer.subarray(from, until);
    const entries = Buffer.allocUnsafe(until - from);
    let end = 0;
    for (let at = from; at < until; at += entryBytes) {
      const pack = this.#packMap[packOfEntry(this.#buffer, at)] ?? droppedPack;
      if (pack === droppedPack) continue;
      this.#buffer.copy(entries, end, at, at + entryBytes);
      setPackOfEntry(entries, end, pack);
      end += entryBytes;
    }
    return entries.subarray(0, end);
  }
}

/** Sorted and one entry an id. */
function settled(entries: Buffer, shardBits: number, packs: Buffer | undefined): Buffer {
  const count = entries.length / entryBytes;
  const entryAt = (ordinal: number) => ({ bytes: entries, at: ordinal * entryBytes });
  const order = sortedOrder({ count, shardBits, entryAt });
  const sorted = Buffer.allocUnsafe(entries.length);
  const ageAt = (bytes: Buffer, at: number): number =>
    packs === undefined ? 0 : publishedMsOf(packs, packOfEntry(bytes, at));
  let end = 0;
  for (let rank = 0; rank < count; rank += 1) {
    const at = order[rank]! * entryBytes;
    const before = end - entryBytes;
    if (before >= 0 && sorted.compare(entries, at, at + 32, before, before + 32) === 0) {
      if (ageAt(entries, at) < ageAt(sorted, before)) continue;
      end = before;
    }
    entries.copy(sorted, end, at, at + entryBytes);
    end += entryBytes;
  }
  return sorted.subarray(0, end);
}

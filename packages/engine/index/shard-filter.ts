/**
 * The filter of one shard: an Elias-Fano list of its sorted ids, each cut to log2(n) + 7 bits. It answers "surely
 * absent" (wrongly "maybe" for 1 id in 128), and on a maybe it also gives the rank, so that the entry is found in one
 * block read. 9.25 bits an entry: a Bloom filter of that size errs 1.5 times as often and gives no rank.
 *
 * Bytes: samples (u32 little-endian each: where bucket 0, 128, 256... begins in the bitmap) | bitmap of 2n bits in
 * 32-bit little-endian words (for each of n buckets a one per id in it, then a zero) | low parts, 7 bits each.
 */
import { entryBytes } from './entry.ts';
import { placeInShard } from './shard.ts';

export const lowBits = 7;
const lowRange = 1 << lowBits;
const bucketsPerSample = 128;

/** Size for a shard of `count` entries; 0 for an empty shard. `count` is below 2^24. */
export function filterBytes(count: number): number {
  return count === 0 ? 0 : lowAt(count) + Math.ceil((count * lowBits) / 8) + 1;
}

/** The filter of the `count` sorted entries in `entries`. */
export function buildFilter(request: {
  readonly entries: Buffer;
  readonly count: number;
  readonly shardBits: number;
}): Buffer {
  const { entries, count, shardBits } = request;
  const filter = Buffer.alloc(filterBytes(count));
  const bitmap = bitmapAt(count);
  const low = lowAt(count);
  let rank = 0;
  let value = count > 0 ? truncated(placeInShard(entries, 0, shardBits), count) : 0;
  let bit = 0;
  for (let bucket = 0; bucket < count; bucket += 1) {
    if (bucket % bucketsPerSample === 0) filter.writeUInt32LE(bit, (bucket / bucketsPerSample) * 4);
    while (rank < count && value >>> lowBits === bucket) {
      filter[bitmap + (bit >>> 3)]! |= 1 << (bit & 7);
      bit += 1;
      const shifted = (value % lowRange) << ((rank * lowBits) & 7);
      const byte = low + ((rank * lowBits) >>> 3);
      filter[byte]! |= shifted & 0xff;
      filter[byte + 1]! |= shifted >>> 8;
      rank += 1;
      if (rank < count) value = truncated(placeInShard(entries, rank * entryBytes, shardBits), count);
    }
    bit += 1;
  }
  return filter;
}

/**
 * Rank in the shard from which `id` may be found (its cut form is there), or -1: it is surely not in the shard. The
 * filter must have passed its checksum.
 */
export function probeFilter(request: {
  readonly filter: Buffer;
  readonly count: number;
  readonly id: Buffer;
  readonly shardBits: number;
}): number {
  const { filter, count, id, shardBits } = request;
  if (count === 0) return -1;
  const value = truncated(placeInShard(id, 0, shardBits), count);
  const bitmap = bitmapAt(count);
  const low = lowAt(count);
  const bucket = value >>> lowBits;
  const wanted = value % lowRange;
  let bit = bucketStart(filter, bitmap, bucket);
  for (let rank = bit - bucket; ((filter[bitmap + (bit >>> 3)]! >>> (bit & 7)) & 1) === 1; rank += 1, bit += 1) {
    const byte = low + ((rank * lowBits) >>> 3);
    const found = ((filter[byte]! | (filter[byte + 1]! << 8)) >>> ((rank * lowBits) & 7)) % lowRange;
    if (found === wanted) return rank;
    if (found > wanted) return -1;
  }
  return -1;
}

/** Where `bucket` begins in the bitmap: after the zero that ends the bucket before it. */
function bucketStart(filter: Buffer, bitmap: number, bucket: number): number {
  const start = filter.readUInt32LE(Math.floor(bucket / bucketsPerSample) * 4);
  let zeros = bucket % bucketsPerSample;
  if (zeros === 0) return start;
  let word = start >>> 5;
  let pending = ~filter.readUInt32LE(bitmap + word * 4) & (-1 << (start & 31));
  for (let ones = populationCount(pending); ones < zeros; ones = populationCount(pending)) {
    zeros -= ones;
    word += 1;
    pending = ~filter.readUInt32LE(bitmap + word * 4);
  }
  for (; zeros > 1; zeros -= 1) pending &= pending - 1;
  return word * 32 + (31 - Math.clz32(pending & -pending)) + 1;
}

/** The same product and rounding in builder and reader; rounding keeps the order, so ties only grow. */
function truncated(place: number, count: number): number {
  const range = count * lowRange;
  return Math.min(range - 1, Math.floor((place * range) / 2 ** 32));
}

function bitmapAt(count: number): number {
  return Math.ceil(count / bucketsPerSample) * 4;
}

function lowAt(count: number): number {
  return bitmapAt(count) + Math.ceil((2 * count) / 32) * 4;
}

function populationCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

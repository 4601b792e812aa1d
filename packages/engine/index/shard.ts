/**
 * A run is cut into 2^bits shards by the first bits of the id. Ids are keyed hashes, hence uniform: shards come out
 * nearly equal, and the 32 bits after the shard's prefix tell nearly exactly where in the shard an id lies.
 */

/** A shard's filter is one read (about 14 KiB); a run of up to this many entries has one shard. */
const mostEntriesPerShard = 16_384;

/** Bits such that a shard holds half to all of `mostEntriesPerShard` on average. `entryCount` may be an upper bound. */
export function shardBitsFor(entryCount: number): number {
  return entryCount <= mostEntriesPerShard ? 0 : Math.min(24, Math.ceil(Math.log2(entryCount / mostEntriesPerShard)));
}

export function shardOf(bytes: Buffer, at: number, shardBits: number): number {
  return shardBits === 0 ? 0 : bytes.readUInt32BE(at) >>> (32 - shardBits);
}

/** The 32 bits of the id that follow the shard's prefix: order inside the shard, up to ties. */
export function placeInShard(bytes: Buffer, at: number, shardBits: number): number {
  const head = bytes.readUInt32BE(at);
  if (shardBits === 0) return head;
  return ((head << shardBits) | (bytes.readUInt32BE(at + 4) >>> (32 - shardBits))) >>> 0;
}

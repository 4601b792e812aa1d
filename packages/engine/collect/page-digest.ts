/**
 * A page of a pack table, reduced to what collection asks: which slots are used, not how often. For each pack its id (32),
 * bytes of bits (u16), bits (slot 0 is the lowest bit of the first byte). Cached on the keeper's disk.
 */
import { scanTablePage } from '../map/pack-table.ts';
import type { PackCensus } from './pack-census.ts';
import type { SlotSets } from './slot-sets.ts';

const headBytes = 34;

let scratch = Buffer.alloc(0);

/** Memory of its own. @throws repository_damaged */
export function digestOfPage(content: Buffer): Buffer {
  // A slot takes a byte or more in the page and a bit here; the heads are of nearly the same length.
  if (scratch.length < content.length) scratch = Buffer.alloc(content.length);
  const digest = scratch.fill(0, 0, content.length);
  let end = 0;
  let bitsAt = 0;
  scanTablePage(content, {
    onPack: ({ idAt, slots }) => {
      const byteCount = (slots + 7) >>> 3;
      content.copy(digest, end, idAt, idAt + 32);
      digest.writeUInt16LE(byteCount, end + 32);
      bitsAt = end + headBytes;
      end = bitsAt + byteCount;
    },
    onSlot: (slot, count) => {
      if (count > 0) digest[bitsAt + (slot >>> 3)]! |= 1 << (slot & 7);
    },
  });
  return Buffer.from(digest.subarray(0, end));
}

/** What the page uses, pack by pack; slots ascending. */
export function* usesInPage(digest: Buffer): Generator<{
  readonly packId: string;
  readonly slots: () => Generator<number>;
}> {
  for (let at = 0; at < digest.length; ) {
    const bits = at + headBytes;
    const byteCount = digest.readUInt16LE(at + 32);
    yield {
      packId: digest.toString('hex', at, at + 32),
      slots: () => slotsIn(digest.subarray(bits, bits + byteCount)),
    };
    at = bits + byteCount;
  }
}

function* slotsIn(bits: Buffer): Generator<number> {
  for (let slot = 0; slot < bits.length * 8; slot += 1) if ((bits[slot >>> 3]! & (1 << (slot & 7))) !== 0) yield slot;
}

/** Adds what the page uses; packs that the census does not have are left out. */
export function addPage(digest: Buffer, census: PackCensus, used: SlotSets): void {
  for (let at = 0; at < digest.length; ) {
    const byteCount = digest.readUInt16LE(at + 32);
    const ordinal = census.find(digest, at);
    if (ordinal >= 0) used.addBits(ordinal, { bytes: digest, at: at + headBytes, byteCount });
    at += headBytes + byteCount;
  }
}

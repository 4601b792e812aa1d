/**
 * A page of a pack table, reduced to what collection asks: which slots are used, not how often. For each pack its id (32),
 * bytes of bits (u16), bits (slot 0 is the lowest bit of the first byte). Cached on the keeper's disk.
 */
import { decodeTablePage } from '../map/pack-table.ts';
import type { PackCensus } from './pack-census.ts';
import type { SlotSets } from './slot-sets.ts';

const headBytes = 34;

/** @throws repository_damaged */
export function digestOfPage(content: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (const [packId, { uses }] of decodeTablePage(content)) {
    const byteCount = (uses.length + 7) >>> 3;
    const part = Buffer.alloc(headBytes + byteCount);
    part.write(packId, 0, 'hex');
    part.writeUInt16LE(byteCount, 32);
    for (let slot = 0; slot < uses.length; slot += 1) {
      if (uses[slot]! > 0) part[headBytes + (slot >>> 3)]! |= 1 << (slot & 7);
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
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

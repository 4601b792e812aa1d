/**
 * References to frames, as map pages, map roots and pack-table roots hold them. An entry has the hash and the location:
 * the hash is the truth, the location a hint. Pack ids are listed once for each list, so a page means the same in every
 * point that shares it.
 *
 *   count (u32) | packs (u32) | kinds (count x u8) | pack ids (packs x 32)
 *   | for each DATA: id (32), pack (u16), slot (u16), offset (u32), stored bytes (u32)
 *   | for each BAD: reason (u8)
 */
import { HoldfastError } from '@holdfast/base';
import { hashBytes } from '../chunk/hash.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';

const kindCodes = { zero: 0, data: 1, split: 2, bad: 3 } as const;
const recordBytes = hashBytes + 12;
const maximumPacks = 0xffff;

/**
 * `zero`: all bytes zero, stated explicitly. `data`: the content of a frame. `bad`: known to be missing, with a reason
 * (1 = unreadable when the point was made, 2 = lost since). SPLIT (2) is
 * reserved in the format for sub-chunks and refused by this version.
 */
export type Reference =
  | { readonly kind: 'zero' }
  | { readonly kind: 'data'; readonly id: Buffer; readonly location: ChunkLocation }
  | { readonly kind: 'bad'; readonly reason: number };

export const zeroReference: Reference = { kind: 'zero' };

/** @throws internal when more than 65 535 packs are named (callers keep lists short) */
export function encodeReferences(references: readonly Reference[]): Buffer {
  const packs = new Map<string, number>();
  let dataCount = 0;
  let badCount = 0;
  for (const reference of references) {
    if (reference.kind === 'bad') badCount += 1;
    if (reference.kind !== 'data') continue;
    dataCount += 1;
    const { packId } = reference.location;
    if (!packs.has(packId)) packs.set(packId, packs.size);
  }
  if (packs.size > maximumPacks) throw new HoldfastError('internal', `A list refers to ${packs.size} packs.`);
  const kindsAt = 8;
  const packsAt = kindsAt + references.length;
  const dataAt = packsAt + packs.size * hashBytes;
  const badAt = dataAt + dataCount * recordBytes;
  const bytes = Buffer.alloc(badAt + badCount);
  bytes.writeUInt32LE(references.length, 0);
  bytes.writeUInt32LE(packs.size, 4);
  let at = packsAt;
  for (const packId of packs.keys()) at += bytes.write(packId, at, 'hex');
  let nextBad = badAt;
  references.forEach((reference, index) => {
    bytes[kindsAt + index] = kindCodes[reference.kind];
    if (reference.kind === 'bad') bytes[nextBad++] = reference.reason;
    if (reference.kind !== 'data') return;
    const { id, location } = reference;
    id.copy(bytes, at);
    bytes.writeUInt16LE(packs.get(location.packId)!, at + 32);
    bytes.writeUInt16LE(location.slot, at + 34);
    bytes.writeUInt32LE(location.offset, at + 36);
    bytes.writeUInt32LE(location.storedBytes, at + 40);
    at += recordBytes;
  });
  return bytes;
}

/** The references; ids are views of `bytes`. @throws repository_damaged when the list is not whole or not of this format */
export function decodeReferences(bytes: Buffer): Reference[] {
  if (bytes.length < 8) throw damaged('is cut short');
  const count = bytes.readUInt32LE(0);
  const packCount = bytes.readUInt32LE(4);
  const packsAt = 8 + count;
  let at = packsAt + packCount * hashBytes;
  if (at > bytes.length) throw damaged('is cut short');
  const packIds = Array.from({ length: packCount }, (_, index) => {
    const start = packsAt + index * hashBytes;
    return bytes.toString('hex', start, start + hashBytes);
  });
  const kinds = bytes.subarray(8, packsAt);
  let nextBad = at + kinds.reduce((sum, kind) => sum + (kind === kindCodes.data ? recordBytes : 0), 0);
  const expectedBytes = nextBad + kinds.reduce((sum, kind) => sum + (kind === kindCodes.bad ? 1 : 0), 0);
  if (expectedBytes !== bytes.length) throw damaged('has the wrong length');
  return Array.from(kinds, (kind): Reference => {
    switch (kind) {
      case kindCodes.zero:
        return zeroReference;
      case kindCodes.bad:
        return { kind: 'bad', reason: bytes[nextBad++]! };
      case kindCodes.data: {
        const packId = packIds[bytes.readUInt16LE(at + 32)];
        if (packId === undefined) throw damaged('names a pack it does not list');
        const location = {
          packId,
          slot: bytes.readUInt16LE(at + 34),
          offset: bytes.readUInt32LE(at + 36),
          storedBytes: bytes.readUInt32LE(at + 40),
        };
        const id = bytes.subarray(at, at + hashBytes);
        at += recordBytes;
        return { kind: 'data', id, location };
      }
      default:
        throw damaged(`has an entry of kind ${kind}, which this version does not know`);
    }
  });
}

/** Same content; the location may differ. */
export function sameContent(a: Reference, b: Reference): boolean {
  if (a.kind === 'data') return b.kind === 'data' && a.id.equals(b.id);
  return a.kind === b.kind;
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('repository_damaged', `A list of references ${what}.`);
}

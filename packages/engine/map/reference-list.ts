/**
 * References to frames, as map pages, map roots and pack-table roots hold them. An entry has the hash and the location:
 * the hash is the truth, the location a hint. Pack ids are listed once for each list, so a page means the same in every
 * point that shares it.
 *
 *   count (u32) | packs (u32) | kinds (count x u8) | pack ids (packs x 32) | records, one an entry, by kind:
 *     ZERO   nothing
 *     DATA   id (32), place
 *     SPLIT  id (32), place of the base chunk, place of the patch
 *     BAD    reason (u8)
 *   where a place is pack (u16), slot (u16), offset (u32), stored bytes (u32)
 */
import { HoldfastError } from '@holdfast/base';
import { hashBytes } from '../chunk/hash.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';

const kindCodes = { zero: 0, data: 1, split: 2, bad: 3 } as const;
const placeBytes = 12;
const recordBytes = [0, hashBytes + placeBytes, hashBytes + 2 * placeBytes, 1];
const maximumPacks = 0xffff;

/** The content of one frame. */
export type DataReference = { readonly kind: 'data'; readonly id: Buffer; readonly location: ChunkLocation };

/** The content of a base chunk with some sub-chunks replaced by those of a patch; `id` is of the result. */
export type SplitReference = {
  readonly kind: 'split';
  readonly id: Buffer;
  readonly base: ChunkLocation;
  readonly patch: ChunkLocation;
};

/**
 * `zero`: all bytes zero, stated explicitly. `bad`: known to be missing, with a reason (1 = unreadable when the point was
 * made, 2 = lost since). `split` is for chunks only, never for pages.
 */
export type Reference =
  | { readonly kind: 'zero' }
  | DataReference
  | SplitReference
  | { readonly kind: 'bad'; readonly reason: number };

export const zeroReference: Reference = { kind: 'zero' };

/** Every place that must be kept for the reference to be readable. */
export function locationsOf(reference: Reference): readonly ChunkLocation[] {
  switch (reference.kind) {
    case 'zero':
    case 'bad':
      return [];
    case 'data':
      return [reference.location];
    case 'split':
      return [reference.base, reference.patch];
    default:
      return reference satisfies never;
  }
}

/** @throws internal when more than 65 535 packs are named (callers keep lists short) */
export function encodeReferences(references: readonly Reference[]): Buffer {
  const packs = new Map<string, number>();
  let recordsBytes = 0;
  for (const reference of references) {
    recordsBytes += recordBytes[kindCodes[reference.kind]]!;
    for (const { packId } of locationsOf(reference)) if (!packs.has(packId)) packs.set(packId, packs.size);
  }
  if (packs.size > maximumPacks) throw new HoldfastError('internal', `A list refers to ${packs.size} packs.`);
  const bytes = Buffer.alloc(8 + references.length + packs.size * hashBytes + recordsBytes);
  bytes.writeUInt32LE(references.length, 0);
  bytes.writeUInt32LE(packs.size, 4);
  references.forEach((reference, index) => bytes.writeUInt8(kindCodes[reference.kind], 8 + index));
  let at = 8 + references.length;
  for (const packId of packs.keys()) at += bytes.write(packId, at, 'hex');
  for (const reference of references) {
    if (reference.kind === 'bad') bytes.writeUInt8(reference.reason, at);
    if (reference.kind === 'data' || reference.kind === 'split') reference.id.copy(bytes, at);
    locationsOf(reference).forEach((location, index) => {
      const place = at + hashBytes + index * placeBytes;
      bytes.writeUInt16LE(packs.get(location.packId)!, place);
      bytes.writeUInt16LE(location.slot, place + 2);
      bytes.writeUInt32LE(location.offset, place + 4);
      bytes.writeUInt32LE(location.storedBytes, place + 8);
    });
    at += recordBytes[kindCodes[reference.kind]]!;
  }
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
  const kinds = bytes.subarray(8, packsAt);
  if (kinds.some((kind) => kind >= recordBytes.length)) throw damaged('has an entry of a kind not known here');
  if (at + kinds.reduce((sum, kind) => sum + recordBytes[kind]!, 0) !== bytes.length)
    throw damaged('has the wrong length');
  const packIds = Array.from({ length: packCount }, (_, index) => {
    const start = packsAt + index * hashBytes;
    return bytes.toString('hex', start, start + hashBytes);
  });
  const placeAt = (place: number): ChunkLocation => {
    const packId = packIds[bytes.readUInt16LE(place)];
    if (packId === undefined) throw damaged('names a pack it does not list');
    return {
      packId,
      slot: bytes.readUInt16LE(place + 2),
      offset: bytes.readUInt32LE(place + 4),
      storedBytes: bytes.readUInt32LE(place + 8),
    };
  };
  return Array.from(kinds, (kind): Reference => {
    const record = at;
    at += recordBytes[kind]!;
    const id = () => bytes.subarray(record, record + hashBytes);
    switch (kind) {
      case kindCodes.zero:
        return zeroReference;
      case kindCodes.bad:
        return { kind: 'bad', reason: bytes.readUInt8(record) };
      case kindCodes.data:
        return { kind: 'data', id: id(), location: placeAt(record + hashBytes) };
      default: {
        const places = record + hashBytes;
        return { kind: 'split', id: id(), base: placeAt(places), patch: placeAt(places + placeBytes) };
      }
    }
  });
}

/** Same content; where it lies may differ. */
export function sameContent(a: Reference, b: Reference): boolean {
  const idOf = (reference: Reference) => ('id' in reference ? reference.id : undefined);
  const [left, right] = [idOf(a), idOf(b)];
  return left && right ? left.equals(right) : a.kind === b.kind;
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('repository_damaged', `A list of references ${what}.`);
}

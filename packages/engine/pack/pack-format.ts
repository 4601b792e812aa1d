/**
 * A pack: header | frames | directory | trailer. Written once, named by the hash of its bytes. The header holds the
 * session's nonce, so two sessions never make the same pack.
 *
 *   header     magic "HFPK", version 1 (u16), kind (u8: 1 data, 2 meta), reserved (u8), session nonce (16),
 *              number of the pack in its session (u32), zero to 32
 *   directory  45 bytes a slot: chunk id (32), frame kind (u8), offset (u32), stored bytes (u32), plain bytes (u32)
 *   trailer    directory offset (u32), slots (u32), CRC-32 of the directory (u32), CRC-32 of these 12 (u32), "HFPE"
 */
import { crc32 } from 'node:zlib';
import { HoldfastError } from '@holdfast/base';
import { hashBytes } from '../chunk/hash.ts';
import { type FrameKind, frameKindOfCode, frameKinds } from '../codec/frame.ts';
import type { PackKind } from '../repository/layout.ts';

export const packHeaderBytes = 32;
export const packTrailerBytes = 20;
export const directoryEntryBytes = hashBytes + 13;
/**
 * A pack is sealed at this many slots, however small they are (the format has 16 bits for them). Map pages wait in memory
 * for the packs they name: 4096 entries are 16 pages. A 32 MiB pack of 1 MiB chunks has 32 to 200.
 */
export const maximumSlots = 4096;
export const nonceBytes = 16;

const headMagic = Buffer.from('HFPK', 'latin1');
const tailMagic = Buffer.from('HFPE', 'latin1');

export type PackSlot = {
  readonly id: Buffer;
  readonly kind: FrameKind;
  readonly offset: number;
  /** Whole frame, header included. */
  readonly storedBytes: number;
  readonly plainBytes: number;
};

export type PackTrailer = { readonly directoryOffset: number; readonly slotCount: number; readonly checksum: number };

export function encodePackHeader(pack: { kind: PackKind; nonce: Buffer; ordinal: number }): Buffer {
  const bytes = Buffer.alloc(packHeaderBytes);
  headMagic.copy(bytes);
  bytes.writeUInt16LE(1, 4);
  bytes[6] = pack.kind === 'data' ? 1 : 2;
  pack.nonce.copy(bytes, 8, 0, nonceBytes);
  bytes.writeUInt32LE(pack.ordinal, 8 + nonceBytes);
  return bytes;
}

/** Nonce of the session that made the pack, as hex; undefined for bytes that are no pack's header. */
export function nonceOfPackHeader(header: Buffer): string | undefined {
  const isHeader = header.length >= packHeaderBytes && header.subarray(0, 4).equals(headMagic);
  return isHeader ? header.toString('hex', 8, 8 + nonceBytes) : undefined;
}

/** Sorts packs as they were written: those of a session together, in its order. @param header the first 32 bytes */
export function packOrder(header: Buffer): string {
  const nonce = nonceOfPackHeader(header);
  return nonce === undefined ? '' : `${nonce}.${String(header.readUInt32LE(8 + nonceBytes)).padStart(10, '0')}`;
}

/** Directory and trailer, to follow the frames directly. */
export function encodePackTail(slots: readonly PackSlot[], directoryOffset: number): Buffer {
  const directoryBytes = slots.length * directoryEntryBytes;
  const bytes = Buffer.alloc(directoryBytes + packTrailerBytes);
  slots.forEach((slot, index) => {
    const at = index * directoryEntryBytes;
    slot.id.copy(bytes, at);
    bytes[at + 32] = frameKinds[slot.kind];
    bytes.writeUInt32LE(slot.offset, at + 33);
    bytes.writeUInt32LE(slot.storedBytes, at + 37);
    bytes.writeUInt32LE(slot.plainBytes, at + 41);
  });
  bytes.writeUInt32LE(directoryOffset, directoryBytes);
  bytes.writeUInt32LE(slots.length, directoryBytes + 4);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, directoryBytes)), directoryBytes + 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(directoryBytes, directoryBytes + 12)), directoryBytes + 12);
  tailMagic.copy(bytes, directoryBytes + 16);
  return bytes;
}

/** @param tail the last 20 bytes of the pack. @throws chunk_corrupt */
export function decodePackTrailer(tail: Buffer, packId: string): PackTrailer {
  if (
    tail.length !== packTrailerBytes ||
    !tail.subarray(16).equals(tailMagic) ||
    tail.readUInt32LE(12) !== crc32(tail.subarray(0, 12))
  ) {
    throw new HoldfastError('chunk_corrupt', `Pack ${packId} has a damaged trailer.`);
  }
  return { directoryOffset: tail.readUInt32LE(0), slotCount: tail.readUInt32LE(4), checksum: tail.readUInt32LE(8) };
}

/** @param directory exactly the bytes between the frames and the trailer. @throws chunk_corrupt */
export function decodePackDirectory(directory: Buffer, trailer: PackTrailer, packId: string): PackSlot[] {
  if (directory.length !== trailer.slotCount * directoryEntryBytes || crc32(directory) !== trailer.checksum) {
    throw new HoldfastError('chunk_corrupt', `Pack ${packId} has a damaged directory.`);
  }
  return Array.from({ length: trailer.slotCount }, (_, index) => {
    const at = index * directoryEntryBytes;
    const kind = frameKindOfCode(directory[at + 32]!);
    if (kind === undefined) throw new HoldfastError('chunk_corrupt', `Pack ${packId} names a kind not known here.`);
    return {
      id: directory.subarray(at, at + hashBytes),
      kind,
      offset: directory.readUInt32LE(at + 33),
      storedBytes: directory.readUInt32LE(at + 37),
      plainBytes: directory.readUInt32LE(at + 41),
    };
  });
}

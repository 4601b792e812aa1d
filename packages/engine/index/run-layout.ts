/**
 * Bytes of a run: an immutable object of sorted entries that a lookup reads in small checksummed pieces. Integers are
 * little-endian.
 *
 *     header (52)    'HFIX' | version u16 | shard bits u8 | filter low bits u8 | nonce (16) | entries u32 | packs u32 |
 *                    entries a block u16 | packs a page u16 | reserved u32 | file bytes u48 | reserved u16 | crc u32
 *     shard table    entries of each shard (u32 each) | crc
 *     filters        one for each shard that is not empty (shard-filter.ts) | crc
 *     entries        blocks of sorted entries (entry.ts) | crc; the last one is shorter
 *     pack table     pages of 40 bytes a pack: id (32), milliseconds u48 when it was published, reserved u16 | crc
 *     trailer (8)    'HFIE' | the header's crc
 *
 * Every piece ends in a CRC-32 that starts from the run's nonce, the kind of piece and its ordinal, so a piece that was
 * swapped, shifted or taken from another run fails like a rotten one.
 */
import { crc32 } from 'node:zlib';
import { HoldfastError } from '@holdfast/base';
import { entryBytes } from './entry.ts';
import { filterBytes, lowBits } from './shard-filter.ts';

export const headerBytes = 52;
export const trailerBytes = 8;
export const crcBytes = 4;
export const packRecordBytes = 40;
const formatVersion = 1;

export type PieceKind = 'table' | 'filter' | 'entries' | 'packs';
const kindNumber: Record<PieceKind, number> = { table: 1, filter: 2, entries: 3, packs: 4 };

/** What the header and the shard table say. */
export type RunShape = {
  readonly nonce: Buffer;
  readonly shardBits: number;
  readonly shardCounts: Uint32Array;
  readonly packCount: number;
  readonly entriesPerBlock: number;
  readonly packsPerPage: number;
};

export type Piece = { readonly offset: number; readonly length: number };

/** A shape with everything that follows from it. Ranks count entries from the start of the run. */
export type RunLayout = RunShape & {
  readonly entryCount: number;
  /** First rank of each shard, and the total as last element. */
  readonly shardRanks: Uint32Array;
  readonly filterOffsets: Float64Array;
  readonly entriesOffset: number;
  readonly packsOffset: number;
  readonly trailerOffset: number;
  readonly fileBytes: number;
};

export function layOut(shape: RunShape): RunLayout {
  const shards = shape.shardCounts.length;
  const shardRanks = new Uint32Array(shards + 1);
  const filterOffsets = new Float64Array(shards);
  let offset = headerBytes + shards * 4 + crcBytes;
  for (let shard = 0; shard < shards; shard += 1) {
    const count = shape.shardCounts[shard]!;
    shardRanks[shard + 1] = shardRanks[shard]! + count;
    filterOffsets[shard] = offset;
    if (count > 0) offset += filterBytes(count) + crcBytes;
  }
  const entryCount = shardRanks[shards]!;
  const entriesOffset = offset;
  const packsOffset = entriesOffset + sectionBytes(entryCount, entryBytes, shape.entriesPerBlock);
  const trailerOffset = packsOffset + sectionBytes(shape.packCount, packRecordBytes, shape.packsPerPage);
  const fileBytes = trailerOffset + trailerBytes;
  return { ...shape, entryCount, shardRanks, filterOffsets, entriesOffset, packsOffset, trailerOffset, fileBytes };
}

/** Where a piece lies, its checksum included. */
export function pieceAt(layout: RunLayout, kind: PieceKind, ordinal: number): Piece {
  switch (kind) {
    case 'table':
      return { offset: headerBytes, length: layout.shardCounts.length * 4 + crcBytes };
    case 'filter':
      return { offset: layout.filterOffsets[ordinal]!, length: filterBytes(layout.shardCounts[ordinal]!) + crcBytes };
    case 'entries':
      return recordPiece(layout.entriesOffset, ordinal, layout.entryCount, entryBytes, layout.entriesPerBlock);
    case 'packs':
      return recordPiece(layout.packsOffset, ordinal, layout.packCount, packRecordBytes, layout.packsPerPage);
    default:
      return kind satisfies never;
  }
}

/** Writes the checksum into the last four bytes of a piece. */
export function sealPiece(piece: Buffer, nonce: Buffer, kind: PieceKind, ordinal: number): void {
  const body = piece.length - crcBytes;
  piece.writeUInt32LE(crc32(piece.subarray(0, body), seedOf(nonce, kind, ordinal)), body);
}

export function pieceHolds(piece: Buffer, nonce: Buffer, kind: PieceKind, ordinal: number): boolean {
  const body = piece.length - crcBytes;
  if (body < 0) return false;
  return crc32(piece.subarray(0, body), seedOf(nonce, kind, ordinal)) === piece.readUInt32LE(body);
}

/** Header and shard table as they stand at the start of the file. */
export function encodeHead(layout: RunLayout): Buffer {
  const shards = layout.shardCounts.length;
  const head = Buffer.alloc(headerBytes + shards * 4 + crcBytes);
  head.write('HFIX', 0, 'latin1');
  head.writeUInt16LE(formatVersion, 4);
  head.writeUInt8(layout.shardBits, 6);
  head.writeUInt8(lowBits, 7);
  layout.nonce.copy(head, 8);
  head.writeUInt32LE(layout.entryCount, 24);
  head.writeUInt32LE(layout.packCount, 28);
  head.writeUInt16LE(layout.entriesPerBlock, 32);
  head.writeUInt16LE(layout.packsPerPage, 34);
  head.writeUIntLE(layout.fileBytes, 40, 6);
  head.writeUInt32LE(crc32(head.subarray(0, 48)), 48);
  for (let shard = 0; shard < shards; shard += 1) {
    head.writeUInt32LE(layout.shardCounts[shard]!, headerBytes + shard * 4);
  }
  sealPiece(head.subarray(headerBytes), layout.nonce, 'table', 0);
  return head;
}

/** The last eight bytes of the file that begins with `head`. */
export function encodeTrailer(head: Buffer): Buffer {
  const trailer = Buffer.alloc(trailerBytes);
  trailer.write('HFIE', 0, 'latin1');
  head.copy(trailer, 4, 48, 52);
  return trailer;
}

/**
 * Length of header and shard table, from the header alone.
 * @throws repository_damaged, repository_newer
 */
export function headLength(header: Buffer): number {
  if (header.length < headerBytes || header.toString('latin1', 0, 4) !== 'HFIX') throw damaged('is no index run');
  if (crc32(header.subarray(0, 48)) !== header.readUInt32LE(48)) throw damaged('has a damaged header');
  if (header.readUInt16LE(4) !== formatVersion || header.readUInt8(7) !== lowBits) {
    throw new HoldfastError('repository_newer', 'The index run has a version that this program does not know.');
  }
  const shardBits = header.readUInt8(6);
  if (shardBits > 24) throw damaged('has an impossible number of shards');
  return headerBytes + 2 ** shardBits * 4 + crcBytes;
}

/**
 * Parses header and shard table; `sizeBytes` is the size the storage states.
 * @throws repository_damaged, repository_newer
 */
export function decodeHead(head: Buffer, sizeBytes: number): RunLayout {
  const length = headLength(head);
  const nonce = Buffer.from(head.subarray(8, 24));
  const table = head.subarray(headerBytes, length);
  if (head.length < length || !pieceHolds(table, nonce, 'table', 0)) throw damaged('has a damaged shard table');
  const shardCounts = new Uint32Array(2 ** head.readUInt8(6));
  for (let shard = 0; shard < shardCounts.length; shard += 1) shardCounts[shard] = table.readUInt32LE(shard * 4);
  const layout = layOut({
    nonce,
    shardBits: head.readUInt8(6),
    shardCounts,
    packCount: head.readUInt32LE(28),
    entriesPerBlock: head.readUInt16LE(32),
    packsPerPage: head.readUInt16LE(34),
  });
  if (layout.entryCount !== head.readUInt32LE(24)) throw damaged('has a shard table that does not fit its header');
  if (layout.fileBytes !== head.readUIntLE(40, 6) || layout.fileBytes !== sizeBytes) throw damaged('has a wrong size');
  return layout;
}

export function damaged(what: string): HoldfastError {
  return new HoldfastError('repository_damaged', `The index run ${what}.`);
}

function sectionBytes(count: number, recordBytes: number, recordsPerBlock: number): number {
  return count * recordBytes + Math.ceil(count / recordsPerBlock) * crcBytes;
}

function recordPiece(base: number, ordinal: number, count: number, recordBytes: number, perBlock: number): Piece {
  const records = Math.min(perBlock, count - ordinal * perBlock);
  return { offset: base + ordinal * (perBlock * recordBytes + crcBytes), length: records * recordBytes + crcBytes };
}

/** Odd multipliers: two ordinals of one kind never share a seed. */
function seedOf(nonce: Buffer, kind: PieceKind, ordinal: number): number {
  const spread = Math.imul(kindNumber[kind], 0x9e3779b1) + Math.imul(ordinal, 0x85ebca6b);
  return (nonce.readUInt32LE(0) + spread) >>> 0;
}

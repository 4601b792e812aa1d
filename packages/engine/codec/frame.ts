/**
 * A frame is one chunk as it lies in a pack. It names everything needed to read it back and does not depend on its pack,
 * so compaction copies frames without keys and a scan finds them again by their magic.
 *
 *   0  magic "HFf1"          4
 *   4  kind                  1
 *   5  compression           1   0 raw, 1 zstd
 *   6  encryption            1   0 none, 1 AES-256-GCM
 *   7  sub-chunk hashes      1   how many follow the header; 0 but for data
 *   8  key epoch             4
 *  12  plain length          4
 *  16  payload length        4   the 16-byte tag included
 *  20  chunk id             32
 *  52  salt                 16   zero without encryption
 *  68  CRC-32 of 0..68       4   zlib's polynomial: it is native, CRC-32C is not (ADR 0002)
 *  72  sub-chunk hashes     32 each, not encrypted (they are keyed); the chunk id proves them
 *      payload
 */
import { crc32 } from 'node:zlib';
import { HoldfastError } from '@holdfast/base';
import { hashBytes } from '../chunk/hash.ts';

export const frameHeaderBytes = 72;
/** What the authentication tag covers besides the payload: the header without its checksum. */
export const authenticatedHeaderBytes = 68;
export const saltBytes = 16;

const magic = Buffer.from('HFf1', 'latin1');

export const frameKinds = {
  data: 1,
  mapPage: 2,
  mapRoot: 3,
  tablePage: 4,
  tableRoot: 5,
  guestConfiguration: 6,
  patch: 7,
} as const;
export type FrameKind = keyof typeof frameKinds;
const kindByCode: ReadonlyMap<number, FrameKind> = new Map(
  Object.entries(frameKinds).map(([name, code]) => [code, name as FrameKind]),
);

export function frameKindOfCode(code: number): FrameKind | undefined {
  return kindByCode.get(code);
}

export type FrameHeader = {
  readonly kind: FrameKind;
  readonly compression: 'raw' | 'zstd';
  readonly encryption: 'none' | 'aes-256-gcm';
  readonly keyEpoch: number;
  readonly plainBytes: number;
  readonly payloadBytes: number;
  readonly subChunkCount: number;
  readonly id: Buffer;
  readonly salt: Buffer;
};

export type FrameHead = {
  readonly header: FrameHeader;
  readonly headerBytes: Buffer;
  /** 32 bytes each; empty but for data. */
  readonly subChunkHashes: Buffer;
};

export type Frame = FrameHead & { readonly payload: Buffer };

export function encodeFrameHeader(header: FrameHeader): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes);
  magic.copy(bytes, 0);
  bytes[4] = frameKinds[header.kind];
  bytes[5] = header.compression === 'zstd' ? 1 : 0;
  bytes[6] = header.encryption === 'aes-256-gcm' ? 1 : 0;
  bytes[7] = header.subChunkCount;
  bytes.writeUInt32LE(header.keyEpoch, 8);
  bytes.writeUInt32LE(header.plainBytes, 12);
  bytes.writeUInt32LE(header.payloadBytes, 16);
  header.id.copy(bytes, 20);
  header.salt.copy(bytes, 52);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, authenticatedHeaderBytes)), authenticatedHeaderBytes);
  return bytes;
}

/** The frame that begins at the start of `bytes`; buffers inside it are views. @throws chunk_corrupt */
export function decodeFrame(bytes: Buffer): Frame {
  const head = decodeFrameHead(bytes);
  const start = frameHeadBytes(head.header.subChunkCount);
  if (bytes.length < start + head.header.payloadBytes) throw broken('is cut short');
  return { ...head, payload: bytes.subarray(start, start + head.header.payloadBytes) };
}

/** Header and sub-chunk hashes; the payload need not be there. @throws chunk_corrupt when not whole or damaged */
export function decodeFrameHead(bytes: Buffer): FrameHead {
  if (bytes.length < frameHeaderBytes || !bytes.subarray(0, 4).equals(magic)) throw broken('has no frame header');
  const headerBytes = bytes.subarray(0, frameHeaderBytes);
  const checksum = crc32(headerBytes.subarray(0, authenticatedHeaderBytes));
  if (headerBytes.readUInt32LE(authenticatedHeaderBytes) !== checksum) throw broken('has a damaged header');
  const kind = kindByCode.get(headerBytes[4]!);
  if (kind === undefined || headerBytes[5]! > 1 || headerBytes[6]! > 1) throw broken('is of a kind not known here');
  const subChunkCount = headerBytes[7]!;
  if (bytes.length < frameHeadBytes(subChunkCount)) throw broken('is cut short');
  return {
    header: {
      kind,
      compression: headerBytes[5] === 1 ? 'zstd' : 'raw',
      encryption: headerBytes[6] === 1 ? 'aes-256-gcm' : 'none',
      keyEpoch: headerBytes.readUInt32LE(8),
      plainBytes: headerBytes.readUInt32LE(12),
      payloadBytes: headerBytes.readUInt32LE(16),
      subChunkCount,
      id: headerBytes.subarray(20, 20 + hashBytes),
      salt: headerBytes.subarray(52, 52 + saltBytes),
    },
    headerBytes,
    subChunkHashes: bytes.subarray(frameHeaderBytes, frameHeadBytes(subChunkCount)),
  };
}

/** Bytes of a frame before its payload. */
export function frameHeadBytes(subChunkCount: number): number {
  return frameHeaderBytes + subChunkCount * hashBytes;
}

function broken(what: string): HoldfastError {
  return new HoldfastError('chunk_corrupt', `A frame ${what}.`);
}

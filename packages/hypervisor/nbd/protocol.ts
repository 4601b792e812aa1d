/**
 * The numbers of the NBD protocol that client and server share. Names are those of the specification
 * (github.com/NetworkBlockDevice/nbd, doc/proto.md). 64-bit magics are pairs of 32 bits, so that no bigint is needed.
 */
import { MiB } from '@holdfast/base';

export const magic = {
  /** "NBDMAGIC" */
  server: [0x4e42444d, 0x41474943],
  /** "IHAVEOPT" */
  option: [0x49484156, 0x454f5054],
  oldStyle: [0x00004202, 0x81861253],
  optionReply: [0x0003e889, 0x045565a9],
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

export const handshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const option = {
  exportName: 1,
  abort: 2,
  list: 3,
  starttls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const optionReply = { ack: 1, server: 2, info: 3, metaContext: 4 } as const;

/** Option replies from here on are errors. */
export const OPTION_ERROR = 0x8000_0000;

export const optionError = {
  unsupported: OPTION_ERROR + 1,
  policy: OPTION_ERROR + 2,
  invalid: OPTION_ERROR + 3,
  platform: OPTION_ERROR + 4,
  tlsRequired: OPTION_ERROR + 5,
  unknown: OPTION_ERROR + 6,
  shutdown: OPTION_ERROR + 7,
  blockSizeRequired: OPTION_ERROR + 8,
  tooBig: OPTION_ERROR + 9,
} as const;

export const info = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const transmissionFlag = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  rotational: 16,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
} as const;

export const command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export type CommandName = keyof typeof command;

export const commandFlag = { fua: 1, noHole: 2, dontFragment: 4, reqOne: 8, fastZero: 16 } as const;

export const replyFlag = { done: 1 } as const;

export const replyType = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;

/** Chunk types with this bit report an error. */
export const REPLY_TYPE_ERROR_BIT = 0x8000;

export const errno = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

export type ErrnoName = keyof typeof errno;

export function errnoName(value: number): string {
  return Object.entries(errno).find(([, number]) => number === value)?.[0] ?? `errno ${value}`;
}

export const BASE_ALLOCATION = 'base:allocation';
export const QEMU_DIRTY_BITMAP = 'qemu:dirty-bitmap:';

/** Bits of an extent in `base:allocation`. */
export const allocationFlag = { hole: 1, zero: 2 } as const;

/** Bit of an extent in `qemu:dirty-bitmap:NAME`. */
export const DIRTY_FLAG = 1;

export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_HEADER_BYTES = 20;

/** What a server without NBD_INFO_BLOCK_SIZE takes in one request, and what ours takes. */
export const MAX_PAYLOAD_BYTES = 32 * MiB;

/** The specification's limit of names, descriptions and messages. */
export const MAX_STRING_BYTES = 4096;

const TWO_TO_32 = 0x1_0000_0000;

/** A 64-bit unsigned field; undefined when it is too large for an exact number (over 8 PiB). */
export function readUint64(from: Buffer, at: number): number | undefined {
  const value = from.readUInt32BE(at) * TWO_TO_32 + from.readUInt32BE(at + 4);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** @param value a whole number from 0 to Number.MAX_SAFE_INTEGER. */
export function writeUint64(into: Buffer, value: number, at: number): void {
  into.writeUInt32BE(Math.floor(value / TWO_TO_32), at);
  into.writeUInt32BE(value % TWO_TO_32, at + 4);
}

export function hasMagic(from: Buffer, at: number, [high, low]: readonly [number, number]): boolean {
  return from.readUInt32BE(at) === high && from.readUInt32BE(at + 4) === low;
}

export type RequestHeader = {
  readonly flags: number;
  readonly type: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offset: number;
  readonly length: number;
};

export function encodeRequest(request: RequestHeader): Buffer {
  const header = Buffer.allocUnsafe(REQUEST_BYTES);
  header.writeUInt32BE(magic.request, 0);
  header.writeUInt16BE(request.flags, 4);
  header.writeUInt16BE(request.type, 6);
  header.writeUInt32BE(request.cookieHigh, 8);
  header.writeUInt32BE(request.cookieLow, 12);
  writeUint64(header, request.offset, 16);
  header.writeUInt32BE(request.length, 24);
  return header;
}

/**
 * Undefined when the magic is wrong. An offset beyond exact numbers becomes Infinity, which lies outside every export.
 */
export function decodeRequest(header: Buffer): RequestHeader | undefined {
  if (header.readUInt32BE(0) !== magic.request) return undefined;
  return {
    flags: header.readUInt16BE(4),
    type: header.readUInt16BE(6),
    cookieHigh: header.readUInt32BE(8),
    cookieLow: header.readUInt32BE(12),
    offset: readUint64(header, 16) ?? Number.POSITIVE_INFINITY,
    length: header.readUInt32BE(24),
  };
}

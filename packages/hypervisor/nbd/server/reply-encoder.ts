/** The replies of the transmission phase as bytes. */
import {
  CHUNK_HEADER_BYTES,
  type ErrnoName,
  errno,
  magic,
  type RequestHeader,
  replyFlag,
  replyType,
  SIMPLE_REPLY_BYTES,
  writeUint64,
} from '../protocol.ts';

export function simpleReply(request: RequestHeader, error: ErrnoName | undefined): Buffer {
  const reply = Buffer.allocUnsafe(SIMPLE_REPLY_BYTES);
  reply.writeUInt32BE(magic.simpleReply, 0);
  reply.writeUInt32BE(error === undefined ? 0 : errno[error], 4);
  reply.writeUInt32BE(request.cookieHigh, 8);
  reply.writeUInt32BE(request.cookieLow, 12);
  return reply;
}

/** Header of `length` bytes of data at `offset`, which follow. */
export function dataChunk(request: RequestHeader, piece: { offset: number; length: number; last: boolean }): Buffer {
  const chunk = chunkHeader(request, {
    type: replyType.offsetData,
    last: piece.last,
    fixed: 8,
    following: piece.length,
  });
  writeUint64(chunk, piece.offset, CHUNK_HEADER_BYTES);
  return chunk;
}

export function holeChunk(request: RequestHeader, piece: { offset: number; length: number; last: boolean }): Buffer {
  const chunk = chunkHeader(request, { type: replyType.offsetHole, last: piece.last, fixed: 12, following: 0 });
  writeUint64(chunk, piece.offset, CHUNK_HEADER_BYTES);
  chunk.writeUInt32BE(piece.length, CHUNK_HEADER_BYTES + 8);
  return chunk;
}

/** The last chunk of its reply. */
export function errorChunk(request: RequestHeader, error: ErrnoName, message: string): Buffer {
  const text = Buffer.from(message.slice(0, 500));
  const chunk = chunkHeader(request, { type: replyType.error, last: true, fixed: 6 + text.length, following: 0 });
  chunk.writeUInt32BE(errno[error], CHUNK_HEADER_BYTES);
  chunk.writeUInt16BE(text.length, CHUNK_HEADER_BYTES + 4);
  chunk.set(text, CHUNK_HEADER_BYTES + 6);
  return chunk;
}

export function statusChunk(
  request: RequestHeader,
  contextId: number,
  extents: readonly { readonly length: number; readonly flags: number }[],
): Buffer {
  const fixed = 4 + 8 * extents.length;
  const chunk = chunkHeader(request, { type: replyType.blockStatus, last: true, fixed, following: 0 });
  chunk.writeUInt32BE(contextId, CHUNK_HEADER_BYTES);
  extents.forEach(({ length, flags }, index) => {
    chunk.writeUInt32BE(length, CHUNK_HEADER_BYTES + 4 + 8 * index);
    chunk.writeUInt32BE(flags, CHUNK_HEADER_BYTES + 8 + 8 * index);
  });
  return chunk;
}

/** @param fixed bytes of the chunk that the caller fills in here; `following` come after it. */
function chunkHeader(
  request: RequestHeader,
  chunk: { readonly type: number; readonly last: boolean; readonly fixed: number; readonly following: number },
): Buffer {
  const header = Buffer.allocUnsafe(CHUNK_HEADER_BYTES + chunk.fixed);
  header.writeUInt32BE(magic.structuredReply, 0);
  header.writeUInt16BE(chunk.last ? replyFlag.done : 0, 4);
  header.writeUInt16BE(chunk.type, 6);
  header.writeUInt32BE(request.cookieHigh, 8);
  header.writeUInt32BE(request.cookieLow, 12);
  header.writeUInt32BE(chunk.fixed + chunk.following, 16);
  return header;
}

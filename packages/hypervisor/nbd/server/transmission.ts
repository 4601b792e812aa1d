/**
 * One client in the transmission phase: its requests run side by side up to a limit, each reads from the source in
 * pieces, and a source that fails gives the client EIO, never zeros.
 */
import { KiB, MiB } from '@holdfast/base';
import {
  allocationFlag,
  command,
  commandFlag,
  decodeRequest,
  type ErrnoName,
  MAX_PAYLOAD_BYTES,
  REQUEST_BYTES,
  type RequestHeader,
} from '../protocol.ts';
import { dataChunk, errorChunk, holeChunk, simpleReply, statusChunk } from './reply-encoder.ts';
import { ALLOCATION_CONTEXT_ID, type Session } from './server-handshake.ts';
import type { SocketReader } from './socket-reader.ts';

export type TransmissionPeer = {
  readonly session: Session;
  readonly reader: SocketReader;
  /** Resolves when the kernel has the bytes, or the connection is gone. */
  readonly send: (parts: readonly Buffer[]) => Promise<void>;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
};

/** As QEMU does. With PIECE_BYTES it bounds the memory of a connection to 16 MiB. */
const MAX_REQUESTS_IN_FLIGHT = 16;

/** Longer reads are answered in several chunks; also the longest read with the flag "don't fragment". */
const PIECE_BYTES = MiB;

/** Answer of at most 512 KiB; a client asks again for the rest. */
const MAX_STATUS_EXTENTS = 64 * KiB;

const zeros = Buffer.alloc(PIECE_BYTES);

/** Serves until the client says goodbye, breaks the protocol or goes. Afterwards nothing uses the source any more. */
export async function serveRequests(peer: TransmissionPeer): Promise<void> {
  const running = new Set<Promise<void>>();
  const pool: Buffer[] = [];
  for (;;) {
    const header = await peer.reader.read(REQUEST_BYTES);
    const request = header && decodeRequest(header);
    if (!request || request.type === command.disconnect) break;
    if (request.type === command.write) {
      // Its payload has to be taken off the wire before it can be refused.
      if (request.length > MAX_PAYLOAD_BYTES || !(await peer.reader.skip(request.length))) break;
    }
    while (running.size >= MAX_REQUESTS_IN_FLIGHT) await Promise.race(running);
    const task = answer(peer, request, pool).finally(() => running.delete(task));
    running.add(task);
  }
  await Promise.all(running);
}

/** Never rejects. */
async function answer(peer: TransmissionPeer, request: RequestHeader, pool: Buffer[]): Promise<void> {
  try {
    const refusal = refuse(peer.session, request);
    if (refusal) await sendError(peer, request, refusal, `command ${request.type} refused`);
    else if (request.type === command.read) await answerRead(peer, request, pool);
    else if (request.type === command.blockStatus) await answerStatus(peer, request);
    else await peer.send([simpleReply(request, undefined)]);
  } catch (error) {
    if (peer.signal.aborted) return;
    peer.onError(error);
    await sendError(peer, request, 'EIO', error instanceof Error ? error.message : String(error));
  }
}

function refuse(session: Session, request: RequestHeader): ErrnoName | undefined {
  const { offer, structured, allocation } = session;
  const isInside = request.length > 0 && request.offset + request.length <= offer.source.sizeBytes;
  switch (request.type) {
    case command.read: {
      const dontFragment = (request.flags & commandFlag.dontFragment) !== 0;
      if (dontFragment && structured && request.length > PIECE_BYTES) return 'EOVERFLOW';
      if (request.length > MAX_PAYLOAD_BYTES) return 'EOVERFLOW';
      const allowed = structured ? commandFlag.dontFragment | commandFlag.fua : commandFlag.fua;
      return isInside && (request.flags & ~allowed) === 0 ? undefined : 'EINVAL';
    }
    case command.blockStatus:
      return isInside && allocation && (request.flags & ~commandFlag.reqOne) === 0 ? undefined : 'EINVAL';
    case command.flush:
      return undefined;
    case command.write:
    case command.trim:
    case command.writeZeroes:
      return 'EPERM';
    default:
      return 'EINVAL';
  }
}

async function answerRead(peer: TransmissionPeer, request: RequestHeader, pool: Buffer[]): Promise<void> {
  const { source } = peer.session.offer;
  const { signal } = peer;
  if (!peer.session.structured) {
    // A simple reply cannot report an error after its first byte, so all of it is read before.
    const into = Buffer.allocUnsafe(request.length);
    for (let at = 0; at < into.length; at += PIECE_BYTES) {
      await source.read({ into: into.subarray(at, at + PIECE_BYTES), offset: request.offset + at, signal });
    }
    await peer.send([simpleReply(request, undefined), into]);
    return;
  }
  const buffer = pool.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  try {
    for (let at = 0; at < request.length; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, request.length - at);
      const piece = { offset: request.offset + at, length, last: at + length === request.length };
      const into = buffer.subarray(0, length);
      await source.read({ into, offset: piece.offset, signal });
      if (into.equals(zeros.subarray(0, length))) await peer.send([holeChunk(request, piece)]);
      else await peer.send([dataChunk(request, piece), into]);
    }
  } finally {
    pool.push(buffer);
  }
}

async function answerStatus(peer: TransmissionPeer, request: RequestHeader): Promise<void> {
  const limit = (request.flags & commandFlag.reqOne) !== 0 ? 1 : MAX_STATUS_EXTENTS;
  const extents: { length: number; flags: number }[] = [];
  const { offset, length } = request;
  for await (const extent of peer.session.offer.source.extents({ offset, length, signal: peer.signal })) {
    extents.push({ length: extent.length, flags: extent.zero ? allocationFlag.hole | allocationFlag.zero : 0 });
    if (extents.length === limit) break;
  }
  await peer.send([statusChunk(request, ALLOCATION_CONTEXT_ID, extents)]);
}

async function sendError(
  peer: TransmissionPeer,
  request: RequestHeader,
  error: ErrnoName,
  message: string,
): Promise<void> {
  await peer.send([peer.session.structured ? errorChunk(request, error, message) : simpleReply(request, error)]);
}

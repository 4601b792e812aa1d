/**
 * Reads the reply stream of one connection, simple and structured, a byte at a time if need be. Everything the server
 * says is checked against the request it answers; the first thing that does not fit ends the connection. Long payloads
 * go straight into the caller's buffer.
 */
import { MiB } from '@holdfast/base';
import type { ByteSink } from '../byte-socket.ts';
import {
  CHUNK_HEADER_BYTES,
  magic,
  MAX_STRING_BYTES,
  REPLY_TYPE_ERROR_BIT,
  readUint64,
  replyFlag,
  replyType,
  SIMPLE_REPLY_BYTES,
} from '../protocol.ts';
import type { InFlightRequest, NbdExtent } from './in-flight-request.ts';

export type ReplyHandler = {
  readonly structured: boolean;
  /** Ids of the negotiated metadata contexts. */
  readonly contextIds: ReadonlySet<number>;
  /** The request of a cookie, still in flight. */
  find(cookieHigh: number, cookieLow: number): InFlightRequest | undefined;
  /** The last chunk has come. */
  done(request: InFlightRequest): void;
  /** Called once; nothing is parsed afterwards. */
  breach(what: string): void;
};

/** One chunk being read: its header is known, its payload is not (whole). */
type Chunk = { readonly request: InFlightRequest; readonly type: number; readonly last: boolean };

/** Shorter rests of a payload come through the scratch buffer, together with the headers that follow them. */
const DIRECT_FROM_BYTES = 16 * 1024;

/** A million extents: eight times what QEMU sends, what nbdkit allows. */
const MAX_STATUS_BYTES = 8 * MiB + 4;

export class ReplyParser implements ByteSink {
  readonly #handler: ReplyHandler;
  /** Reused for headers; a longer body gets a buffer of its own. */
  readonly #head = Buffer.allocUnsafeSlow(64);
  #collecting: Buffer = this.#head.subarray(0, 4);
  #collected = 0;
  /** The step that takes what is being collected; steps are fields, so that none is allocated per reply. */
  #next: (bytes: Buffer) => void;
  /** The payload that is arriving; `into` is undefined when nobody wants it any more. */
  #data: { readonly chunk: Chunk; readonly into: Buffer | undefined; left: number } | undefined;
  #broken = false;

  constructor(handler: ReplyHandler) {
    this.#handler = handler;
    this.#next = this.#onMagic;
  }

  consume(bytes: Buffer): void {
    this.#guarded(() => this.#consume(bytes));
  }

  #consume(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && !this.#broken) {
      const data = this.#data;
      if (data) {
        const count = Math.min(data.left, bytes.length - at);
        data.into?.set(bytes.subarray(at, at + count), data.into.length - data.left);
        at += count;
        this.#dataReceived(count);
      } else {
        const count = Math.min(this.#collecting.length - this.#collected, bytes.length - at);
        this.#collecting.set(bytes.subarray(at, at + count), this.#collected);
        at += count;
        this.#collected += count;
        if (this.#collected === this.#collecting.length) this.#next(this.#collecting);
      }
    }
  }

  direct(): Buffer | undefined {
    const data = this.#data;
    if (!data?.into || data.left < DIRECT_FROM_BYTES) return undefined;
    return data.into.subarray(data.into.length - data.left);
  }

  directReceived(count: number): void {
    this.#guarded(() => this.#dataReceived(count));
  }

  #dataReceived(count: number): void {
    const data = this.#data!;
    data.left -= count;
    if (data.left > 0) return;
    this.#data = undefined;
    if (data.into) data.chunk.request.unpin();
    this.#endOfChunk(data.chunk);
  }

  #guarded(parse: () => void): void {
    try {
      parse();
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      this.#broken = true;
      this.#data = undefined;
      this.#handler.breach(error.message);
    }
  }

  #collect(length: number, next: (bytes: Buffer) => void): void {
    this.#collecting = length <= this.#head.length ? this.#head.subarray(0, length) : Buffer.allocUnsafe(length);
    this.#collected = 0;
    this.#next = next;
  }

  #endOfChunk(chunk: Chunk): void {
    if (chunk.last) this.#finish(chunk.request);
    this.#collect(4, this.#onMagic);
  }

  readonly #onMagic = (bytes: Buffer): void => {
    const value = bytes.readUInt32BE(0);
    if (value === magic.simpleReply) this.#collect(SIMPLE_REPLY_BYTES - 4, this.#onSimpleReply);
    else if (value === magic.structuredReply && this.#handler.structured) {
      this.#collect(CHUNK_HEADER_BYTES - 4, this.#onChunkHeader);
    } else throw new Breach(`reply magic 0x${value.toString(16)}`);
  };

  readonly #onSimpleReply = (bytes: Buffer): void => {
    const errno = bytes.readUInt32BE(0);
    const request = this.#find(bytes, 4);
    const chunk: Chunk = { request, type: replyType.offsetData, last: true };
    if (errno !== 0) {
      request.failure ??= { errno, message: '' };
      this.#endOfChunk(chunk);
    } else if (this.#handler.structured && (request.spec.into || request.spec.command === 'blockStatus')) {
      throw new Breach(`a simple reply to ${request.spec.command} although structured replies were agreed`);
    } else if (request.spec.into) {
      request.coverage?.add(0, request.spec.length);
      this.#beginData(chunk, 0, request.spec.length);
    } else this.#endOfChunk(chunk);
  };

  readonly #onChunkHeader = (bytes: Buffer): void => {
    const flags = bytes.readUInt16BE(0);
    const type = bytes.readUInt16BE(2);
    const request = this.#find(bytes, 4);
    const length = bytes.readUInt32BE(12);
    if ((flags & ~replyFlag.done) !== 0) throw new Breach(`chunk flags ${flags}`);
    const chunk: Chunk = { request, type, last: (flags & replyFlag.done) !== 0 };
    if ((type & REPLY_TYPE_ERROR_BIT) !== 0) {
      if (length < 6 || length > 14 + MAX_STRING_BYTES) throw new Breach(`error chunk of ${length} bytes`);
      this.#collect(length, (body) => this.#onError(chunk, body));
      return;
    }
    switch (type) {
      case replyType.none:
        if (length !== 0 || !chunk.last) throw new Breach('an empty chunk that has content or is not the last');
        this.#endOfChunk(chunk);
        return;
      case replyType.offsetData:
        if (!request.spec.into) throw new Breach(`data in answer to ${request.spec.command}`);
        if (length <= 8 || length - 8 > request.spec.length) throw new Breach(`data chunk of ${length} bytes`);
        this.#collect(8, (body) => this.#beginData(chunk, this.#cover(chunk, body, length - 8), length - 8));
        return;
      case replyType.offsetHole:
        if (!request.spec.into) throw new Breach(`a hole in answer to ${request.spec.command}`);
        if (length !== 12) throw new Breach(`hole chunk of ${length} bytes`);
        this.#collect(12, (body) => this.#onHole(chunk, body));
        return;
      case replyType.blockStatus:
        if (request.spec.command !== 'blockStatus') throw new Breach(`block status for ${request.spec.command}`);
        if (length < 12 || (length - 4) % 8 !== 0 || length > MAX_STATUS_BYTES) {
          throw new Breach(`block status chunk of ${length} bytes`);
        }
        this.#collect(length, (body) => this.#onBlockStatus(chunk, body));
        return;
      default:
        throw new Breach(`chunk type ${type}`);
    }
  };

  #find(bytes: Buffer, at: number): InFlightRequest {
    const request = this.#handler.find(bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4));
    if (!request) throw new Breach('a reply to no request');
    return request;
  }

  /** Where in the request the piece named by `body` belongs. */
  #cover(chunk: Chunk, body: Buffer, length: number): number {
    const offset = readUint64(body, 0);
    const { request } = chunk;
    const at = (offset ?? Number.POSITIVE_INFINITY) - request.spec.offset;
    if (!request.coverage?.add(at, length))
      throw new Breach(`a piece of ${length} bytes at ${offset} that was not asked for`);
    return at;
  }

  #beginData(chunk: Chunk, at: number, length: number): void {
    const { request } = chunk;
    const into = request.abandoned ? undefined : request.spec.into?.subarray(at, at + length);
    if (into) request.pin();
    this.#data = { chunk, into, left: length };
    // Reads of no bytes are never sent, so there is always something left.
  }

  #onHole(chunk: Chunk, body: Buffer): void {
    const length = body.readUInt32BE(8);
    const at = this.#cover(chunk, body, length);
    if (!chunk.request.abandoned) chunk.request.spec.into?.fill(0, at, at + length);
    this.#endOfChunk(chunk);
  }

  #onBlockStatus(chunk: Chunk, body: Buffer): void {
    const { request } = chunk;
    const contextId = body.readUInt32BE(0);
    if (!this.#handler.contextIds.has(contextId)) throw new Breach(`metadata context ${contextId} was not agreed`);
    if (request.extents.has(contextId)) throw new Breach(`metadata context ${contextId} twice in one reply`);
    const extents: NbdExtent[] = [];
    let covered = 0;
    for (let at = 4; at < body.length; at += 8) {
      const length = body.readUInt32BE(at);
      if (length === 0) throw new Breach('an empty extent');
      // Only the last one may reach past the end of what was asked.
      if (covered >= request.spec.length) throw new Breach('extents past the end of the request');
      covered += length;
      extents.push({ length, flags: body.readUInt32BE(at + 4) });
    }
    request.extents.set(contextId, extents);
    this.#endOfChunk(chunk);
  }

  #onError(chunk: Chunk, body: Buffer): void {
    const errno = body.readUInt32BE(0);
    const messageBytes = body.readUInt16BE(4);
    const rest = body.length - 6 - messageBytes;
    if (errno === 0) throw new Breach('an error chunk without an error');
    if (rest < 0 || (chunk.type === replyType.error && rest !== 0)) throw new Breach('an error chunk of wrong length');
    if (chunk.type === replyType.errorOffset && rest !== 8) throw new Breach('an error chunk of wrong length');
    chunk.request.failure ??= { errno, message: body.toString('utf8', 6, 6 + messageBytes) };
    this.#endOfChunk(chunk);
  }

  #finish(request: InFlightRequest): void {
    if (!request.failure) {
      if (request.coverage && !request.coverage.complete) throw new Breach('a read answered in part');
      if (request.spec.command === 'blockStatus' && request.extents.size !== this.#handler.contextIds.size) {
        throw new Breach('a block status without all metadata contexts');
      }
    }
    this.#handler.done(request);
  }
}

/** Inside this file only; becomes `breach` of the handler. */
class Breach extends Error {}

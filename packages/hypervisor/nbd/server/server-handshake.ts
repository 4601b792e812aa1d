/** The server's side of the fixed newstyle handshake: what a client may ask before it reads. */
import type { BlockSource } from '@holdfast/base';
import {
  BASE_ALLOCATION,
  handshakeFlag,
  hasMagic,
  info,
  MAX_PAYLOAD_BYTES,
  magic,
  option,
  optionError,
  optionReply,
  transmissionFlag,
  writeUint64,
} from '../protocol.ts';
import type { SocketReader } from './socket-reader.ts';

export type NbdExportOffer = {
  readonly name: string;
  readonly description: string;
  /** Stays the owner's; it must outlive the server. */
  readonly source: BlockSource;
};

/** What a client has chosen. */
export type Session = {
  readonly offer: NbdExportOffer;
  readonly structured: boolean;
  /** Whether block status may be asked. */
  readonly allocation: boolean;
};

export type HandshakePeer = {
  readonly reader: SocketReader;
  readonly send: (parts: readonly Buffer[]) => void;
  readonly exports: readonly NbdExportOffer[];
};

/** The id under which base:allocation is offered. */
export const ALLOCATION_CONTEXT_ID = 1;

/** An option's data is an export name of at most 4 KiB and some queries. */
const MAX_OPTION_BYTES = 64 * 1024;

/** A client that asks more than this is not going to read. */
const MAX_OPTIONS = 1000;

/** Undefined when the client leaves, or says something that cannot be answered; the connection is then closed. */
export async function acceptClient(peer: HandshakePeer): Promise<Session | undefined> {
  peer.send([pair(magic.server), pair(magic.option), uint16(handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes)]);
  const clientFlags = (await peer.reader.read(4))?.readUInt32BE(0);
  const known = handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes;
  if (clientFlags === undefined || (clientFlags & ~known) !== 0) return undefined;
  let structured = false;
  /** Export for which base:allocation was agreed. */
  let allocationOf: NbdExportOffer | undefined;
  for (let asked = 0; asked < MAX_OPTIONS; asked += 1) {
    const header = await peer.reader.read(16);
    if (!header || !hasMagic(header, 0, magic.option)) return undefined;
    const code = header.readUInt32BE(8);
    const length = header.readUInt32BE(12);
    if (length > MAX_OPTION_BYTES) return undefined;
    const data = await peer.reader.read(length);
    if (!data) return undefined;
    const reply = (type: number, ...parts: Buffer[]): void => sendReply(peer, code, type, parts);
    switch (code) {
      case option.exportName: {
        const offer = findExport(peer.exports, data.toString('utf8'));
        if (!offer) return undefined;
        const noZeroes = (clientFlags & handshakeFlag.noZeroes) !== 0;
        peer.send([sizeAndFlags(offer, structured), ...(noZeroes ? [] : [Buffer.alloc(124)])]);
        return { offer, structured, allocation: allocationOf === offer };
      }
      case option.abort:
        reply(optionReply.ack);
        return undefined;
      case option.list:
        if (length > 0) reply(optionError.invalid, Buffer.from('NBD_OPT_LIST has no data'));
        else {
          for (const { name, description } of peer.exports) {
            reply(optionReply.server, ...string32(name), Buffer.from(description));
          }
          reply(optionReply.ack);
        }
        break;
      case option.structuredReply:
        structured = length === 0;
        reply(structured ? optionReply.ack : optionError.invalid);
        break;
      case option.listMetaContext:
      case option.setMetaContext: {
        const query = parseMetaQuery(data);
        const offer = query && findExport(peer.exports, query.exportName);
        if (code === option.setMetaContext) allocationOf = undefined;
        if (!query || !structured) reply(optionError.invalid, Buffer.from('structured replies come first'));
        else if (!offer) reply(optionError.unknown, Buffer.from('there is no such export'));
        else {
          const listed =
            code === option.listMetaContext && (query.queries.length === 0 || query.queries.includes('base:'));
          if (listed || query.queries.includes(BASE_ALLOCATION)) {
            if (code === option.setMetaContext) allocationOf = offer;
            const id = code === option.setMetaContext ? ALLOCATION_CONTEXT_ID : 0;
            reply(optionReply.metaContext, uint32(id), Buffer.from(BASE_ALLOCATION));
          }
          reply(optionReply.ack);
        }
        break;
      }
      case option.info:
      case option.go: {
        const request = parseInfoRequest(data);
        const offer = request && findExport(peer.exports, request.exportName);
        if (!request) reply(optionError.invalid);
        else if (!offer) reply(optionError.unknown, Buffer.from('there is no such export'));
        else {
          reply(optionReply.info, uint16(info.export), sizeAndFlags(offer, structured));
          reply(
            optionReply.info,
            uint16(info.blockSize),
            uint32(1),
            uint32(PREFERRED_BYTES),
            uint32(MAX_PAYLOAD_BYTES),
          );
          if (request.infos.includes(info.name)) reply(optionReply.info, uint16(info.name), Buffer.from(offer.name));
          if (request.infos.includes(info.description)) {
            reply(optionReply.info, uint16(info.description), Buffer.from(offer.description));
          }
          reply(optionReply.ack);
          if (code === option.go) return { offer, structured, allocation: allocationOf === offer };
        }
        break;
      }
      default:
        reply(optionError.unsupported);
    }
  }
  return undefined;
}

/** What clients should keep to: a page. */
const PREFERRED_BYTES = 4096;

/** The nameless export is the only one, where there is only one. */
function findExport(exports: readonly NbdExportOffer[], name: string): NbdExportOffer | undefined {
  return exports.find((offer) => offer.name === name) ?? (name === '' && exports.length === 1 ? exports[0] : undefined);
}

function sizeAndFlags(offer: NbdExportOffer, structured: boolean): Buffer {
  const bytes = Buffer.alloc(10);
  writeUint64(bytes, offer.source.sizeBytes, 0);
  const flags = transmissionFlag.hasFlags | transmissionFlag.readOnly | transmissionFlag.canMultiConn;
  bytes.writeUInt16BE(structured ? flags | transmissionFlag.sendDf : flags, 8);
  return bytes;
}

function parseInfoRequest(data: Buffer): { exportName: string; infos: readonly number[] } | undefined {
  const name = readString32(data, 0);
  if (!name || name.end + 2 > data.length) return undefined;
  const count = data.readUInt16BE(name.end);
  if (data.length !== name.end + 2 + 2 * count) return undefined;
  const infos = Array.from({ length: count }, (_, index) => data.readUInt16BE(name.end + 2 + 2 * index));
  return { exportName: name.text, infos };
}

function parseMetaQuery(data: Buffer): { exportName: string; queries: readonly string[] } | undefined {
  const name = readString32(data, 0);
  if (!name || name.end + 4 > data.length) return undefined;
  const count = data.readUInt32BE(name.end);
  const queries: string[] = [];
  let at = name.end + 4;
  for (let index = 0; index < count; index += 1) {
    const query = readString32(data, at);
    if (!query) return undefined;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { exportName: name.text, queries } : undefined;
}

function readString32(data: Buffer, at: number): { text: string; end: number } | undefined {
  if (at + 4 > data.length) return undefined;
  const end = at + 4 + data.readUInt32BE(at);
  return end <= data.length ? { text: data.toString('utf8', at + 4, end), end } : undefined;
}

function sendReply(peer: HandshakePeer, code: number, type: number, parts: readonly Buffer[]): void {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  peer.send([pair(magic.optionReply), uint32(code), uint32(type), uint32(length), ...parts]);
}

function string32(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  return [uint32(bytes.length), bytes];
}

function uint16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16BE(value);
  return buffer;
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}

function pair([high, low]: readonly [number, number]): Buffer {
  return Buffer.concat([uint32(high), uint32(low)]);
}

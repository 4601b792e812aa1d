/**
 * The fixed newstyle handshake of the client: from the server's greeting to the transmission phase of one export.
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
import type { HoldfastError } from '@holdfast/base';
import type { ByteSink } from '../byte-socket.ts';
import {
  handshakeFlag,
  hasMagic,
  info,
  magic,
  MAX_PAYLOAD_BYTES,
  OPTION_ERROR,
  option,
  optionError,
  optionReply,
  readUint64,
  transmissionFlag,
} from '../protocol.ts';
import { type NbdErrorContext, nbdError, protocolBreach } from './nbd-error.ts';

export type NbdExport = {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly canFlush: boolean;
  readonly canTrim: boolean;
  readonly canWriteZeroes: boolean;
  /** Several connections see one another's writes, and a flush on one covers all. */
  readonly canMultiConn: boolean;
  /** Offsets and lengths must be multiples of this. */
  readonly minBlockBytes: number;
  readonly maxPayloadBytes: number;
  readonly structured: boolean;
  /** Ids of the metadata contexts that the server agreed to, by name. */
  readonly contexts: ReadonlyMap<string, number>;
};

export type HandshakeOptions = {
  readonly reader: HandshakeReader;
  readonly send: (parts: readonly Buffer[]) => void;
  readonly exportName: string;
  /** Metadata contexts to ask for; those the server does not know are left out of the result. */
  readonly wantedContexts: readonly string[];
  readonly errorContext: NbdErrorContext;
};

/** Longest option reply taken; the specification's strings are 4 KiB each. */
const MAX_OPTION_REPLY_BYTES = 64 * 1024;

/** More replies to one option than this are no handshake. */
const MAX_REPLIES = 1000;

/** @throws nbd_failed; its fact `errno` is `NBD_REP_ERR_UNKNOWN` when there is no such export */
export async function negotiate(options: HandshakeOptions): Promise<NbdExport> {
  const { reader, send, errorContext } = options;
  const greeting = await reader.readExactly(16);
  if (!hasMagic(greeting, 0, magic.server)) throw nbdError(errorContext, 'this is no NBD server');
  if (!hasMagic(greeting, 8, magic.option)) throw nbdError(errorContext, 'the server speaks only the old handshake');
  const offered = (await reader.readExactly(2)).readUInt16BE(0);
  if ((offered & handshakeFlag.fixedNewstyle) === 0) {
    throw nbdError(errorContext, 'the server does not speak the fixed newstyle handshake');
  }
  send([uint32(offered & (handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes))]);
  const structured = await negotiateStructuredReplies(options);
  const contexts = structured ? await negotiateContexts(options) : new Map<string, number>();
  return (
    (await go({ ...options, structured, contexts })) ??
    (await chooseByName({ ...options, structured, contexts, noZeroes: (offered & handshakeFlag.noZeroes) !== 0 }))
  );
}

async function negotiateStructuredReplies(options: HandshakeOptions): Promise<boolean> {
  sendOption(options, option.structuredReply, []);
  const reply = await readOptionReply(options, option.structuredReply);
  if (reply.type === optionReply.ack) return true;
  // Only a server that insists on TLS cannot be talked to at all; others answer old-fashioned.
  if (reply.type === optionError.tlsRequired) throw optionFailure(options, reply);
  if (reply.type < OPTION_ERROR) throw breach(options, `reply ${reply.type} to structured replies`);
  return false;
}

async function negotiateContexts(options: HandshakeOptions): Promise<Map<string, number>> {
  const contexts = new Map<string, number>();
  if (options.wantedContexts.length === 0) return contexts;
  const queries = options.wantedContexts.flatMap((name) => string32(name));
  sendOption(options, option.setMetaContext, [
    ...string32(options.exportName),
    uint32(options.wantedContexts.length),
    ...queries,
  ]);
  for (let replies = 0; replies < MAX_REPLIES; replies += 1) {
    const { type, body } = await readOptionReply(options, option.setMetaContext);
    if (type === optionReply.ack) return contexts;
    // An unknown export is reported by NBD_OPT_GO with more to say.
    if (type >= OPTION_ERROR) return new Map();
    if (type !== optionReply.metaContext || body.length < 5)
      throw breach(options, `reply ${type} to metadata contexts`);
    const name = body.toString('utf8', 4);
    const id = body.readUInt32BE(0);
    const known = options.wantedContexts.includes(name) && !contexts.has(name) && ![...contexts.values()].includes(id);
    if (!known) throw breach(options, `the metadata context ${JSON.stringify(name)} was not asked for`);
    contexts.set(name, id);
  }
  throw breach(options, 'endless replies to metadata contexts');
}

type Agreed = { readonly structured: boolean; readonly contexts: ReadonlyMap<string, number> };

/** Undefined when the server does not know NBD_OPT_GO. */
async function go(options: HandshakeOptions & Agreed): Promise<NbdExport | undefined> {
  sendOption(options, option.go, [...string32(options.exportName), uint16(1), uint16(info.blockSize)]);
  let sizeAndFlags: Buffer | undefined;
  let blockSizes: Buffer | undefined;
  for (let replies = 0; replies < MAX_REPLIES; replies += 1) {
    const reply = await readOptionReply(options, option.go);
    const { type, body } = reply;
    if (type === optionError.unsupported) return undefined;
    if (type >= OPTION_ERROR) throw optionFailure(options, reply);
    if (type === optionReply.ack) {
      if (!sizeAndFlags) throw breach(options, 'an export without a size');
      return describeExport(options, sizeAndFlags, blockSizes);
    }
    if (type !== optionReply.info || body.length < 2) throw breach(options, `reply ${type} to the choice of export`);
    const kind = body.readUInt16BE(0);
    if (kind === info.export) {
      if (body.length !== 12) throw breach(options, 'export information of wrong length');
      sizeAndFlags = body.subarray(2);
    } else if (kind === info.blockSize) {
      if (body.length !== 14) throw breach(options, 'block sizes of wrong length');
      blockSizes = body.subarray(2);
    }
  }
  throw breach(options, 'endless replies to the choice of export');
}

/** NBD_OPT_EXPORT_NAME has no error reply: for an unknown export the server hangs up. */
async function chooseByName(options: HandshakeOptions & Agreed & { readonly noZeroes: boolean }): Promise<NbdExport> {
  sendOption(options, option.exportName, [Buffer.from(options.exportName)]);
  const sizeAndFlags = await options.reader.readExactly(10);
  if (!options.noZeroes) await options.reader.readExactly(124);
  return describeExport(options, sizeAndFlags, undefined);
}

function describeExport(
  options: HandshakeOptions & Agreed,
  sizeAndFlags: Buffer,
  blockSizes: Buffer | undefined,
): NbdExport {
  const sizeBytes = readUint64(sizeAndFlags, 0);
  if (sizeBytes === undefined) throw breach(options, 'an export of more than 8 PiB');
  const flags = sizeAndFlags.readUInt16BE(8);
  if ((flags & transmissionFlag.hasFlags) === 0) throw breach(options, 'transmission flags without their first bit');
  const minBlockBytes = blockSizes?.readUInt32BE(0) ?? 1;
  const maxBlockBytes = blockSizes?.readUInt32BE(8) ?? MAX_PAYLOAD_BYTES;
  const isPowerOfTwo = minBlockBytes > 0 && (minBlockBytes & (minBlockBytes - 1)) === 0;
  if (!isPowerOfTwo || minBlockBytes > 65536 || maxBlockBytes < minBlockBytes) {
    throw breach(options, `block sizes from ${minBlockBytes} to ${maxBlockBytes}`);
  }
  if (sizeBytes % minBlockBytes !== 0) throw breach(options, `${sizeBytes} bytes are not whole blocks`);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const largest = Math.min(maxBlockBytes, MAX_PAYLOAD_BYTES);
  return {
    sizeBytes,
    readOnly: has(transmissionFlag.readOnly),
    canFlush: has(transmissionFlag.sendFlush),
    canTrim: has(transmissionFlag.sendTrim),
    canWriteZeroes: has(transmissionFlag.sendWriteZeroes),
    canMultiConn: has(transmissionFlag.canMultiConn),
    minBlockBytes,
    maxPayloadBytes: largest - (largest % minBlockBytes),
    structured: options.structured,
    contexts: options.contexts,
  };
}

function sendOption(options: HandshakeOptions, code: number, parts: readonly Buffer[]): void {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(magic.option[0], 0);
  header.writeUInt32BE(magic.option[1], 4);
  header.writeUInt32BE(code, 8);
  header.writeUInt32BE(
    parts.reduce((sum, part) => sum + part.length, 0),
    12,
  );
  options.send([header, ...parts]);
}

type OptionReply = { readonly type: number; readonly body: Buffer };

async function readOptionReply(options: HandshakeOptions, code: number): Promise<OptionReply> {
  const header = await options.reader.readExactly(20);
  if (!hasMagic(header, 0, magic.optionReply)) throw breach(options, 'an option reply without its magic');
  if (header.readUInt32BE(8) !== code) throw breach(options, `a reply to option ${header.readUInt32BE(8)}`);
  const length = header.readUInt32BE(16);
  if (length > MAX_OPTION_REPLY_BYTES) throw breach(options, `an option reply of ${length} bytes`);
  return { type: header.readUInt32BE(12), body: await options.reader.readExactly(length) };
}

function optionFailure(options: HandshakeOptions, { type, body }: OptionReply): HoldfastError {
  const said = body.length > 0 ? `: ${body.toString('utf8')}` : '';
  switch (type) {
    case optionError.tlsRequired:
      return nbdError(options.errorContext, `the server requires TLS${said}`, {
        errno: 'NBD_REP_ERR_TLS_REQD',
        remedy: 'Holdfast speaks NBD without TLS: use a unix socket, or a server that does not require it.',
      });
    case optionError.unknown:
      return nbdError(options.errorContext, `there is no such export${said}`, { errno: 'NBD_REP_ERR_UNKNOWN' });
    default:
      return nbdError(options.errorContext, `the server refuses the export${said}`, {
        errno: `NBD_REP_ERR ${type - OPTION_ERROR}`,
      });
  }
}

function breach(options: HandshakeOptions, what: string): HoldfastError {
  return protocolBreach(options.errorContext, what);
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

function string32(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  return [uint32(bytes.length), bytes];
}

/** Gives the bytes of the handshake in the portions asked for. Either side asks one thing at a time. */
export class HandshakeReader implements ByteSink {
  #bytes = Buffer.alloc(0);
  #waiting: { length: number; resolve: (bytes: Buffer) => void; reject: (error: unknown) => void } | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @throws what `fail` was given */
  async readExactly(length: number): Promise<Buffer> {
    return await new Promise((resolve, reject) => {
      this.#waiting = { length, resolve, reject };
      this.#serve();
    });
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#serve();
  }

  /** What came and was not asked for. */
  takeRest(): Buffer {
    const rest = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return rest;
  }

  consume(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    this.#serve();
  }

  direct(): undefined {
    return undefined;
  }

  directReceived(): void {}

  #serve(): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    if (this.#bytes.length >= waiting.length) {
      const bytes = this.#bytes.subarray(0, waiting.length);
      this.#bytes = this.#bytes.subarray(waiting.length);
      this.#waiting = undefined;
      waiting.resolve(bytes);
    } else if (this.#failure) {
      this.#waiting = undefined;
      waiting.reject(this.#failure.error);
    }
  }
}

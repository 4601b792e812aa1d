/** One connection to an export: requests go out as they come, replies settle them in any order. */
import { randomInt } from 'node:crypto';
import { createConnection, type OnReadOpts, type Socket } from 'node:net';
import type { NbdAddress } from '../../block-location.ts';
import { ByteSocket } from '../byte-socket.ts';
import { command, encodeRequest } from '../protocol.ts';
import { HandshakeReader, type NbdExport, negotiate } from './handshake.ts';
import { InFlightRequest, type NbdReply, type RequestSpec } from './in-flight-request.ts';
import { type NbdErrorContext, nbdError, protocolBreach } from './nbd-error.ts';
import { ReplyParser } from './reply-parser.ts';

export type ConnectOptions = {
  readonly address: NbdAddress;
  readonly exportName: string;
  readonly contexts: readonly string[];
  /** The export as a URI, for messages. */
  readonly uri: string;
  /** A server that sends nothing for this long while it owes an answer has failed. */
  readonly stallTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
};

/**
 * How long an aborted request waits for a buffer that the kernel is reading into or writing from. Afterwards the
 * connection is closed, because only that makes the buffer free.
 */
const ABORT_GRACE_MS = 1000;

export class NbdConnection implements AsyncDisposable {
  readonly export: NbdExport;
  readonly #uri: string;
  readonly #bytes: ByteSocket;
  readonly #inFlight = new Map<number, InFlightRequest>();
  /** Differs between connections, so that a reply that strayed is noticed. */
  readonly #cookieHigh = randomInt(0x1_0000_0000);
  #cookieLow = 0;
  #failure: { readonly what: string; readonly cause: unknown } | undefined;

  constructor(options: { readonly bytes: ByteSocket; readonly uri: string; readonly export: NbdExport }) {
    this.#bytes = options.bytes;
    this.#uri = options.uri;
    this.export = options.export;
    this.#bytes.sink = new ReplyParser({
      structured: options.export.structured,
      contextIds: new Set(options.export.contexts.values()),
      find: (high, low) => (high === this.#cookieHigh ? this.#inFlight.get(low) : undefined),
      done: (request) => this.#done(request),
      breach: (what) => this.#fail(`the server broke the protocol: ${what}`),
    });
    const { socket } = this.#bytes;
    socket.removeAllListeners();
    socket.on('error', (error) => this.#fail(`the connection failed: ${error.message}`, error));
    socket.on('end', () => this.#fail('the server closed the connection'));
    socket.on('close', () => this.#fail('the connection was closed'));
    socket.on('timeout', () => {
      if (this.#inFlight.size > 0) this.#fail('the server has not answered for too long');
    });
  }

  get load(): number {
    return this.#inFlight.size;
  }

  /**
   * Sends one request and waits for its whole answer. The range is inside the export and within its limits. Aborted,
   * it rejects with the signal's reason and its late answer is thrown away; the buffer is free from that moment, for
   * which an abort may have to wait up to a second and, at worst, close the connection.
   * @throws nbd_failed, also for every request in flight when the connection is lost
   */
  async request(spec: RequestSpec): Promise<NbdReply> {
    spec.signal?.throwIfAborted();
    if (this.#failure) throw this.#lost(spec, this.#failure);
    return await new Promise((resolve, reject) => {
      this.#cookieLow = (this.#cookieLow + 1) >>> 0;
      const cookieLow = this.#cookieLow;
      const request = new InFlightRequest({
        spec,
        cookieLow,
        resolve,
        reject,
        onStuck: () => this.#closeUnlessFreed(request),
      });
      this.#inFlight.set(cookieLow, request);
      const header = encodeRequest({
        flags: spec.flags ?? 0,
        type: command[spec.command],
        cookieHigh: this.#cookieHigh,
        cookieLow,
        offset: spec.offset,
        length: spec.length,
      });
      if (!spec.from) {
        this.#bytes.send([header]);
        return;
      }
      request.pin();
      this.#bytes.send([header, spec.from], () => request.unpin());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { socket } = this.#bytes;
    if (socket.destroyed) return;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    if (this.#inFlight.size === 0) {
      this.#failure ??= { what: 'the connection was closed', cause: undefined };
      const bye = { flags: 0, type: command.disconnect, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0 };
      this.#bytes.send([encodeRequest(bye)]);
      socket.destroySoon();
    } else this.#fail('the connection was closed');
    await closed;
  }

  #done(request: InFlightRequest): void {
    this.#inFlight.delete(request.cookieLow);
    const { failure } = request;
    if (!failure) return request.succeed();
    request.fail(
      nbdError(this.#contextOf(request.spec), failure.message || 'the server reports an error', {
        errno: failure.errno,
      }),
    );
  }

  #fail(what: string, cause?: unknown): void {
    if (this.#failure) return;
    const failure = { what, cause };
    this.#failure = failure;
    this.#bytes.socket.destroy();
    for (const request of this.#inFlight.values()) request.fail(this.#lost(request.spec, failure));
    this.#inFlight.clear();
  }

  #lost(spec: RequestSpec, failure: { readonly what: string; readonly cause: unknown }): unknown {
    return nbdError(this.#contextOf(spec), failure.what, { cause: failure.cause });
  }

  #closeUnlessFreed(request: InFlightRequest): void {
    setTimeout(() => {
      if (!request.abandoned && this.#inFlight.get(request.cookieLow) === request) {
        this.#fail('closed because an aborted request could not be stopped otherwise');
      }
    }, ABORT_GRACE_MS).unref();
  }

  #contextOf(spec: RequestSpec): NbdErrorContext {
    return { uri: this.#uri, command: spec.command, offset: spec.offset };
  }
}

/** Longest time from connecting to the end of the handshake. */
const HANDSHAKE_TIMEOUT_MS = 15_000;

/** @throws nbd_failed */
export async function connectNbd(options: ConnectOptions): Promise<NbdConnection> {
  const { uri, signal } = options;
  signal?.throwIfAborted();
  const errorContext: NbdErrorContext = { uri, command: 'connect' };
  const reader = new HandshakeReader();
  const bytes = new ByteSocket(reader, (onread) => createSocket(options.address, onread));
  const { socket } = bytes;
  const onAbort = (): void => reader.fail(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  socket.on('error', (error) => reader.fail(nbdError(errorContext, error.message, { cause: error })));
  socket.on('end', () => reader.fail(nbdError(errorContext, 'the server hung up during the handshake')));
  socket.on('close', () => reader.fail(nbdError(errorContext, 'the server hung up during the handshake')));
  const timer = setTimeout(
    () => reader.fail(nbdError(errorContext, 'the server did not finish the handshake in time')),
    Math.min(HANDSHAKE_TIMEOUT_MS, options.stallTimeoutMs),
  );
  try {
    const { exportName, contexts: wantedContexts } = options;
    const send = (parts: readonly Buffer[]): void => bytes.send(parts);
    const nbdExport = await negotiate({ reader, send, exportName, wantedContexts, errorContext });
    if (reader.takeRest().length > 0) throw protocolBreach(errorContext, 'bytes after the end of the handshake');
    socket.setTimeout(options.stallTimeoutMs);
    return new NbdConnection({ bytes, uri, export: nbdExport });
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function createSocket(address: NbdAddress, onread: OnReadOpts): Socket {
  switch (address.kind) {
    case 'unix':
      return createConnection({ path: address.socketPath, onread });
    case 'tcp':
      // Requests are single small packets; waiting to fill one costs 40 ms.
      return createConnection({ host: address.host, port: address.port, onread, noDelay: true });
    default:
      return address satisfies never;
  }
}

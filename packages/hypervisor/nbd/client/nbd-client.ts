/**
 * Our NBD client: one export over one or more connections, many requests in flight on each. Written for throughput:
 * payloads are received straight into the caller's buffer. What the protocol limits (length of a request, block size)
 * is hidden here.
 */
import { type Extent, GiB, HoldfastError, MiB, runLanes } from '@holdfast/base';
import { formatNbdUri, type NbdAddress } from '../../block-location.ts';
import { BASE_ALLOCATION } from '../protocol.ts';
import { type StatusExtent, streamBlockStatus } from './block-status.ts';
import { connectNbd, type NbdConnection } from './connection.ts';
import type { NbdExport } from './handshake.ts';
import type { NbdReply, RequestSpec } from './in-flight-request.ts';

export type NbdClientOptions = {
  readonly address: NbdAddress;
  readonly exportName: string;
  /** Metadata contexts to ask for; default `base:allocation`. Those the server lacks are missing in `export.contexts`. */
  readonly contexts?: readonly string[];
  /** At most this many, and only one unless the server allows several. */
  readonly connections?: number;
  readonly stallTimeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
};

type Signalled = { readonly signal?: AbortSignal | undefined };

/**
 * Every failure of the server, every breach of the protocol and a lost connection is `nbd_failed`, with export,
 * command, offset and errno in its facts. A lost connection fails everything in flight and every later call. An
 * aborted call rejects with the signal's reason; from then on its buffer is no longer used.
 */
export interface NbdClient extends AsyncDisposable {
  readonly uri: string;
  readonly export: NbdExport;
  /** Connections that are open. */
  readonly connections: number;
  read(request: Signalled & { readonly into: Buffer; readonly offset: number }): Promise<void>;
  /** Offset and length are whole blocks of `export.minBlockBytes`, else `incompatible_target`. */
  write(request: Signalled & { readonly from: Buffer; readonly offset: number }): Promise<void>;
  /** Reads as zeros afterwards; the server may punch holes. Plain zeros are written where it has no such command. */
  writeZeroes(request: Signalled & Extent): Promise<void>;
  /** A hint that the range is no longer needed; what it reads as afterwards is not defined. */
  trim(request: Signalled & Extent): Promise<void>;
  /** Everything written before is durable; returns at once where the server has no such command. */
  flush(request?: Signalled): Promise<void>;
  /** Extents of `context` (negotiated), contiguous, in order, exactly the range; neighbours may have equal flags. */
  blockStatus(request: Signalled & Extent & { readonly context: string }): AsyncIterable<StatusExtent>;
}

/** Four saturate one server thread; more only cost memory (bench/nbd.ts). */
const DEFAULT_CONNECTIONS = 4;

/** A degraded Ceph answers late, but it answers; nobody waits longer than this for a single byte. */
const STALL_TIMEOUT_MS = 300_000;

/** Not limited by the protocol's payload size; kept so that one request does not run for minutes. */
const MAX_ZEROES_BYTES = GiB;

/** Of one call that is too long for a request. */
const PIECES_AT_ONCE = 4;

const zeros = Buffer.alloc(MiB);

/** @throws nbd_failed; its fact `errno` is `NBD_REP_ERR_UNKNOWN` when there is no such export */
export async function openNbdClient(options: NbdClientOptions): Promise<NbdClient> {
  const uri = formatNbdUri(options.address, options.exportName);
  const connect = (): Promise<NbdConnection> =>
    connectNbd({
      address: options.address,
      exportName: options.exportName,
      contexts: options.contexts ?? [BASE_ALLOCATION],
      uri,
      stallTimeoutMs: options.stallTimeoutMs ?? STALL_TIMEOUT_MS,
      signal: options.signal,
    });
  const first = await connect();
  const connections = [first];
  try {
    const wanted = first.export.canMultiConn ? (options.connections ?? DEFAULT_CONNECTIONS) : 1;
    const others = await Promise.allSettled(Array.from({ length: wanted - 1 }, connect));
    for (const other of others) if (other.status === 'fulfilled') connections.push(other.value);
    for (const other of connections) refuseIfDifferent(uri, first.export, other.export);
  } catch (error) {
    await Promise.all(connections.map((connection) => connection[Symbol.asyncDispose]()));
    throw error;
  }
  return nbdClient(uri, connections);
}

/** A server may take fewer connections than it promises; but all must show the same disk. */
function refuseIfDifferent(uri: string, one: NbdExport, other: NbdExport): void {
  const ids = (nbdExport: NbdExport): string => JSON.stringify([...nbdExport.contexts]);
  if (one.sizeBytes !== other.sizeBytes || one.readOnly !== other.readOnly || ids(one) !== ids(other)) {
    throw new HoldfastError('nbd_failed', `${uri}: the export differs between connections`);
  }
}

function nbdClient(uri: string, connections: readonly NbdConnection[]): NbdClient {
  const { export: nbdExport } = connections[0]!;
  const { minBlockBytes, maxPayloadBytes } = nbdExport;
  const request = async (spec: RequestSpec): Promise<NbdReply> => await leastLoaded(connections).request(spec);

  const inPieces = async (spec: RequestSpec, pieceBytes: number): Promise<void> => {
    if (spec.length === 0) return;
    if (spec.length <= pieceBytes) {
      await request(spec);
      return;
    }
    await runLanes({
      jobs: pieces(spec, pieceBytes),
      lanes: PIECES_AT_ONCE,
      run: async (piece) => void (await request(piece)),
    });
  };

  return {
    uri,
    export: nbdExport,
    connections: connections.length,
    async read({ into, offset, signal }) {
      checkRange(uri, nbdExport, { offset, length: into.length });
      const before = offset % minBlockBytes;
      const after = (minBlockBytes - ((offset + into.length) % minBlockBytes)) % minBlockBytes;
      if (before === 0 && after === 0) {
        await inPieces({ command: 'read', offset, length: into.length, into, signal }, maxPayloadBytes);
        return;
      }
      const whole = Buffer.allocUnsafe(before + into.length + after);
      const aligned = { offset: offset - before, length: whole.length };
      await inPieces({ command: 'read', ...aligned, into: whole, signal }, maxPayloadBytes);
      whole.copy(into, 0, before, before + into.length);
    },
    async write({ from, offset, signal }) {
      const range = { offset, length: from.length };
      checkWrite(uri, nbdExport, range);
      await inPieces({ command: 'write', ...range, from, signal }, maxPayloadBytes);
    },
    async writeZeroes({ offset, length, signal }) {
      checkWrite(uri, nbdExport, { offset, length });
      if (nbdExport.canWriteZeroes) {
        await inPieces({ command: 'writeZeroes', offset, length, signal }, MAX_ZEROES_BYTES);
        return;
      }
      for (let at = 0; at < length; at += zeros.length) {
        const from = zeros.subarray(0, Math.min(zeros.length, length - at));
        const piece = { offset: offset + at, length: from.length };
        await inPieces({ command: 'write', ...piece, from, signal }, maxPayloadBytes);
      }
    },
    async trim({ offset, length, signal }) {
      checkWrite(uri, nbdExport, { offset, length });
      if (nbdExport.canTrim) await inPieces({ command: 'trim', offset, length, signal }, MAX_ZEROES_BYTES);
    },
    async flush({ signal } = {}) {
      if (nbdExport.canFlush) await request({ command: 'flush', offset: 0, length: 0, signal });
    },
    async *blockStatus({ context, offset, length, signal }) {
      checkRange(uri, nbdExport, { offset, length });
      const contextId = nbdExport.contexts.get(context);
      if (contextId === undefined) throw new HoldfastError('internal', `${uri} has no metadata context ${context}`);
      const errorContext = { uri };
      yield* streamBlockStatus({ range: { offset, length }, contextId, minBlockBytes, request, errorContext, signal });
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(connections.map((connection) => connection[Symbol.asyncDispose]()));
    },
  };
}

function* pieces(spec: RequestSpec, pieceBytes: number): Generator<RequestSpec> {
  for (let at = 0; at < spec.length; at += pieceBytes) {
    const length = Math.min(pieceBytes, spec.length - at);
    yield {
      ...spec,
      offset: spec.offset + at,
      length,
      ...(spec.into && { into: spec.into.subarray(at, at + length) }),
      ...(spec.from && { from: spec.from.subarray(at, at + length) }),
    };
  }
}

function leastLoaded(connections: readonly NbdConnection[]): NbdConnection {
  let best = connections[0]!;
  for (const connection of connections) if (connection.load < best.load) best = connection;
  return best;
}

function checkRange(uri: string, nbdExport: NbdExport, { offset, length }: Extent): void {
  if (Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset + length <= nbdExport.sizeBytes) return;
  throw new HoldfastError('internal', `${length} bytes at ${offset} lie outside of ${uri} (${nbdExport.sizeBytes})`);
}

function checkWrite(uri: string, nbdExport: NbdExport, range: Extent): void {
  checkRange(uri, nbdExport, range);
  const { minBlockBytes } = nbdExport;
  if (range.offset % minBlockBytes === 0 && range.length % minBlockBytes === 0) return;
  throw new HoldfastError(
    'incompatible_target',
    `${uri} takes only whole blocks of ${minBlockBytes} bytes, not ${range.length} bytes at ${range.offset}`,
  );
}

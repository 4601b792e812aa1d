/** A read-only NBD server over any block sources: how a restore point becomes a disk that QEMU can open. */
import { lstat, unlink } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { HoldfastError, systemErrorCode } from '@holdfast/base';
import { formatNbdUri, type NbdAddress } from '../../block-location.ts';
import { acceptClient, type NbdExportOffer } from './server-handshake.ts';
import { SocketReader } from './socket-reader.ts';
import { serveRequests } from './transmission.ts';

export type NbdServer = AsyncDisposable & {
  readonly address: NbdAddress;
  /** Of the first export. */
  readonly uri: string;
};

export type ServeOptions = {
  /** At least one; names differ. The sources stay the caller's and must outlive the server. */
  readonly exports: readonly NbdExportOffer[];
  /** Port 0 takes a free one. There is neither password nor TLS, so only a loopback host is taken. */
  readonly listen: { readonly socketPath: string } | { readonly host: string; readonly port: number };
  /** Ends the server like its disposal, which is still to be awaited. */
  readonly signal?: AbortSignal | undefined;
  /** Told every failure of a source; the client gets EIO. */
  readonly onError?: ((error: unknown) => void) | undefined;
};

/** QEMU's default; beyond it new clients are hung up on. */
const MAX_CLIENTS = 100;

/** A client that has not chosen an export by then is gone. */
const HANDSHAKE_TIMEOUT_MS = 15_000;

/**
 * Resolves when clients can connect. Disposing hangs up on all clients and resolves when no source is used any more.
 * @throws address_in_use, usage (host is not loopback), nbd_failed (the socket cannot be made)
 */
export async function serveNbd(options: ServeOptions): Promise<NbdServer> {
  options.signal?.throwIfAborted();
  const clients = new Set<Client>();
  const server = createServer((socket) => {
    const client = serveClient(socket, options);
    clients.add(client);
    void client.finished.finally(() => clients.delete(client));
  });
  server.maxConnections = MAX_CLIENTS;
  const address = await listen(server, options.listen);
  const close = async (): Promise<void> => {
    options.signal?.removeEventListener('abort', onAbort);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const client of clients) client.hangUp();
    await Promise.all([...clients].map((client) => client.finished));
    await closed;
  };
  let closing: Promise<void> | undefined;
  const onAbort = (): void => {
    closing ??= close();
  };
  options.signal?.addEventListener('abort', onAbort, { once: true });
  return {
    address,
    uri: formatNbdUri(address, options.exports[0]?.name ?? ''),
    async [Symbol.asyncDispose]() {
      closing ??= close();
      await closing;
    },
  };
}

type Client = { readonly finished: Promise<void>; hangUp(): void };

function serveClient(socket: Socket, options: ServeOptions): Client {
  socket.setNoDelay(true);
  const gone = new AbortController();
  socket.on('close', () => gone.abort());
  // Whatever breaks the connection also closes it; nobody else needs to know.
  socket.on('error', () => undefined);
  return { finished: talk(socket, gone.signal, options), hangUp: () => void socket.destroy() };
}

/** Never rejects. */
async function talk(socket: Socket, signal: AbortSignal, options: ServeOptions): Promise<void> {
  const onError = options.onError ?? (() => undefined);
  const reader = new SocketReader(socket);
  const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS);
  try {
    const send = (parts: readonly Buffer[]): void => void sendParts(socket, parts);
    const session = await acceptClient({ reader, send, exports: options.exports });
    clearTimeout(timer);
    if (session) {
      await serveRequests({ session, reader, send: (parts) => sendParts(socket, parts), signal, onError });
    }
  } catch (error) {
    onError(error);
  } finally {
    clearTimeout(timer);
    socket.destroySoon();
  }
}

async function sendParts(socket: Socket, parts: readonly Buffer[]): Promise<void> {
  if (socket.destroyed) return;
  await new Promise<void>((resolve) => {
    socket.cork();
    parts.forEach((part, index) => socket.write(part, index === parts.length - 1 ? () => resolve() : undefined));
    socket.uncork();
  });
}

async function listen(server: Server, where: ServeOptions['listen']): Promise<NbdAddress> {
  if ('socketPath' in where) {
    const { socketPath } = where;
    try {
      await listenOnce(server, { path: socketPath });
    } catch (error) {
      if (systemErrorCode(error) !== 'EADDRINUSE') throw listenFailed(socketPath, error);
      await removeStaleSocket(socketPath);
      await listenOnce(server, { path: socketPath }).catch((again: unknown) => {
        throw listenFailed(socketPath, again);
      });
    }
    return { kind: 'unix', socketPath };
  }
  const { host, port } = where;
  if (!/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) {
    throw new HoldfastError('usage', `NBD has neither password nor encryption and is not served on ${host}`, {
      remedy: 'Serve on 127.0.0.1, ::1 or a unix socket, and tunnel it.',
    });
  }
  await listenOnce(server, { host, port }).catch((error: unknown) => {
    throw listenFailed(`${host}:${port}`, error);
  });
  const bound = server.address();
  return { kind: 'tcp', host, port: typeof bound === 'object' && bound !== null ? bound.port : port };
}

async function listenOnce(server: Server, where: { path: string } | { host: string; port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** A socket that nobody answers at is what a killed server left behind. */
async function removeStaleSocket(socketPath: string): Promise<void> {
  const stats = await lstat(socketPath);
  if (!stats.isSocket() || (await isAnswered(socketPath))) {
    throw new HoldfastError('address_in_use', `${socketPath} is in use`, { facts: { path: socketPath } });
  }
  await unlink(socketPath);
}

async function isAnswered(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = createConnection({ path: socketPath });
    probe.once('connect', () => resolve(true));
    probe.once('error', (error) => resolve(systemErrorCode(error) !== 'ECONNREFUSED'));
    probe.once('close', () => resolve(true));
    probe.once('connect', () => probe.destroy());
  });
}

function listenFailed(where: string, error: unknown): HoldfastError {
  const errno = systemErrorCode(error) ?? 'unknown';
  if (errno === 'EADDRINUSE') {
    return new HoldfastError('address_in_use', `${where} is in use`, { cause: error, facts: { address: where } });
  }
  const text = error instanceof Error ? error.message : String(error);
  return new HoldfastError('nbd_failed', `cannot serve at ${where}: ${text}`, {
    cause: error,
    remedy: 'Check that the directory of the socket exists and can be written (a path has at most 107 bytes).',
    facts: { address: where, errno },
  });
}

/**
 * The one connection that waits for notifications. When it breaks it is made again, and everybody is woken without a
 * payload then: what was notified meanwhile is lost, so look for yourself. A notification is a hint to look, never the news.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/base';
import pg from 'pg';

/** @param payload undefined when the connection was away: anything may have happened */
export type OnNotification = (payload: string | undefined) => void;

export type ListenerOptions = {
  readonly config: pg.ClientConfig;
  readonly ready: () => Promise<void>;
  readonly log: (line: string) => void;
};

const RECONNECT_DELAYS_MS = [0, 100, 500, 2000, 5000] as const;

/** A connection whose other end vanished is silent like one on which nothing happens. */
const HEARTBEAT_MS = 30_000;
const ANSWER_LIMIT_MS = 10_000;

export class Listener implements AsyncDisposable {
  readonly #options: ListenerOptions;
  readonly #subscribers = new Map<string, Set<OnNotification>>();
  readonly #ending = new AbortController();
  #connected = newConnected();
  #work: Promise<void> | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /**
   * Resolves once nothing is missed that is notified from now on; waits while the database is away. Channels are
   * lower-case words. @throws database_unreachable when disposed before
   */
  async subscribe(channel: string, onNotification: OnNotification): Promise<Disposable> {
    const subscribers = this.#subscribers.get(channel) ?? new Set();
    subscribers.add(onNotification);
    this.#subscribers.set(channel, subscribers);
    this.#work ??= this.#stayConnected();
    const client = await this.#connected.promise;
    // Should the connection break right here: the next one listens to every channel there is.
    await client.query(`listen "${channel}"`).catch(() => undefined);
    return { [Symbol.dispose]: () => void subscribers.delete(onNotification) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#work;
  }

  async #stayConnected(): Promise<void> {
    let failures = 0;
    while (!this.#ending.signal.aborted) {
      try {
        await this.#oneConnection(() => {
          failures = 0;
        });
      } catch (error) {
        this.#options.log(`listener: ${error instanceof Error ? error.message : String(error)}`);
      }
      const ms = RECONNECT_DELAYS_MS[Math.min(failures, RECONNECT_DELAYS_MS.length - 1)];
      failures += 1;
      await delay(ms, undefined, { signal: this.#ending.signal }).catch(() => undefined);
    }
    this.#connected.reject(new HoldfastError('database_unreachable', 'The database was closed.'));
  }

  /** From connecting to its end. */
  async #oneConnection(onConnected: () => void): Promise<void> {
    await this.#options.ready();
    const client = new pg.Client({ ...this.#options.config, query_timeout: ANSWER_LIMIT_MS });
    const ended = Promise.withResolvers<void>();
    client.on('error', (error) => ended.reject(error));
    client.on('end', () => ended.resolve());
    client.on('notification', ({ channel, payload }) => this.#wake(channel, payload ?? ''));
    ended.promise.catch(() => undefined);
    const onEnding = (): void => ended.resolve();
    this.#ending.signal.addEventListener('abort', onEnding);
    let heartbeat: NodeJS.Timeout | undefined;
    let isConnected = false;
    try {
      await client.connect();
      for (const channel of this.#subscribers.keys()) await client.query(`listen "${channel}"`);
      heartbeat = setInterval(() => void client.query('select').catch(ended.reject), HEARTBEAT_MS);
      onConnected();
      isConnected = true;
      this.#connected.resolve(client);
      for (const channel of this.#subscribers.keys()) this.#wake(channel, undefined);
      await ended.promise;
    } finally {
      clearInterval(heartbeat);
      this.#ending.signal.removeEventListener('abort', onEnding);
      if (isConnected) this.#connected = newConnected();
      // Not awaited: a connection whose other end vanished does not say goodbye.
      void client.end().catch(() => undefined);
    }
  }

  #wake(channel: string, payload: string | undefined): void {
    for (const subscriber of this.#subscribers.get(channel) ?? []) subscriber(payload);
  }
}

function newConnected(): PromiseWithResolvers<pg.Client> {
  const connected = Promise.withResolvers<pg.Client>();
  connected.promise.catch(() => undefined);
  return connected;
}

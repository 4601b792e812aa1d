/**
 * Holds a store to limits that its owner sets: requests a second, bytes a second (both directions together), calls at
 * once. Each call waits for a connection first and for the rates then, so that waiting calls take no rate from others.
 */
import { type Clock, systemClock } from '@holdfast/base';
import { bodySizeBytes } from '../blob-body.ts';
import type { BlobInfo, BlobStore, CallOptions } from '../blob-store.ts';
import { ConnectionLimit } from './connection-limit.ts';
import { RateLimit } from './rate-limit.ts';
import { type Sleep, systemSleep } from './sleep.ts';

export type ThrottleOptions = {
  readonly store: BlobStore;
  /** Each absent limit is no limit. */
  readonly requestsPerSecond?: number;
  readonly bytesPerSecond?: number;
  readonly maxConnections?: number;
  readonly clock?: Clock;
  readonly sleep?: Sleep;
};

/** Disposing it disposes the store inside. */
export function withThrottle(options: ThrottleOptions): BlobStore {
  const { store } = options;
  const gate = new Gate(options);
  return {
    capabilities: {
      ...store.capabilities,
      maxConnections: Math.min(store.capabilities.maxConnections, options.maxConnections ?? Number.POSITIVE_INFINITY),
    },
    put: (key, body, call) =>
      gate.pass({ signal: call?.signal, knownBytes: bodySizeBytes(body), call: () => store.put(key, body, call) }),
    get: (key, call) =>
      gate.pass({
        signal: call?.signal,
        knownBytes: 0,
        call: () => store.get(key, call),
        bytesAfter: (content) => content.length,
      }),
    list: (prefix, call) => listThrough(gate, store, prefix, call),
    delete: (key, call) => gate.pass({ signal: call?.signal, knownBytes: 0, call: () => store.delete(key, call) }),
    head: (key, call) => gate.pass({ signal: call?.signal, knownBytes: 0, call: () => store.head(key, call) }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

type Passage<Result> = {
  readonly signal: AbortSignal | undefined;
  /** Paid before the call. */
  readonly knownBytes: number;
  readonly call: () => Promise<Result>;
  /** Paid by those who come next: what a get brings is known only afterwards. */
  readonly bytesAfter?: (result: Result) => number;
};

class Gate {
  readonly #connections: ConnectionLimit | undefined;
  readonly #requests: RateLimit | undefined;
  readonly #bytes: RateLimit | undefined;

  constructor(options: ThrottleOptions) {
    const { clock = systemClock, sleep = systemSleep, requestsPerSecond, bytesPerSecond, maxConnections } = options;
    this.#connections = maxConnections === undefined ? undefined : new ConnectionLimit(maxConnections);
    this.#requests =
      requestsPerSecond === undefined ? undefined : new RateLimit({ perSecond: requestsPerSecond, clock, sleep });
    this.#bytes = bytesPerSecond === undefined ? undefined : new RateLimit({ perSecond: bytesPerSecond, clock, sleep });
  }

  async pass<Result>(passage: Passage<Result>): Promise<Result> {
    return await this.holdConnection(passage.signal, async () => {
      await this.#requests?.take(1, passage.signal);
      await this.#bytes?.take(passage.knownBytes, passage.signal);
      const result = await passage.call();
      if (passage.bytesAfter) this.#bytes?.charge(passage.bytesAfter(result));
      return result;
    });
  }

  holdConnection<Result>(signal: AbortSignal | undefined, call: () => Promise<Result>): Promise<Result> {
    return this.#connections ? this.#connections.run(signal, call) : call();
  }
}

/**
 * A listing counts as one request. It holds a connection only while it fetches, never while its consumer works: that
 * consumer may need the only connection for itself.
 */
async function* listThrough(
  gate: Gate,
  store: BlobStore,
  prefix: string,
  call: CallOptions = {},
): AsyncGenerator<BlobInfo> {
  const { signal } = call;
  const iterator = store.list(prefix, call)[Symbol.asyncIterator]();
  try {
    let item = await gate.pass({ signal, knownBytes: 0, call: () => iterator.next() });
    while (!item.done) {
      yield item.value;
      item = await gate.holdConnection(signal, () => iterator.next());
    }
  } finally {
    await iterator.return?.();
  }
}

/** Counts what a store is asked to do, for progress, bills and the benches. Calls that fail count as calls and as errors. */
import { bodySizeBytes } from '../blob-body.ts';
import type { BlobInfo, BlobStore, CallOptions } from '../blob-store.ts';

export type StorageVerb = 'put' | 'get' | 'list' | 'delete' | 'head';

export type VerbUsage = { readonly calls: number; readonly errors: number };

export type StorageUsage = {
  readonly byVerb: Readonly<Record<StorageVerb, VerbUsage>>;
  /** All verbs together. */
  readonly calls: number;
  /** Of puts and gets that succeeded. */
  readonly bytesPut: number;
  readonly bytesGot: number;
};

export type MeteredStore = BlobStore & {
  /** Counters since the store was wrapped; a copy that does not change. */
  snapshot(): StorageUsage;
};

/** Disposing it disposes the store inside. */
export function withMeter({ store }: { readonly store: BlobStore }): MeteredStore {
  const counters = new Counters();
  return {
    capabilities: store.capabilities,
    put: async (key, body, call) => {
      await counters.count('put', () => store.put(key, body, call));
      counters.bytesPut += bodySizeBytes(body);
    },
    get: async (key, call) => {
      const content = await counters.count('get', () => store.get(key, call));
      counters.bytesGot += content.length;
      return content;
    },
    list: (prefix, call) => listCounted(counters, store, prefix, call),
    delete: (key, call) => counters.count('delete', () => store.delete(key, call)),
    head: (key, call) => counters.count('head', () => store.head(key, call)),
    snapshot: () => counters.snapshot(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

class Counters {
  bytesPut = 0;
  bytesGot = 0;
  readonly #byVerb = {
    put: { calls: 0, errors: 0 },
    get: { calls: 0, errors: 0 },
    list: { calls: 0, errors: 0 },
    delete: { calls: 0, errors: 0 },
    head: { calls: 0, errors: 0 },
  };

  async count<Result>(verb: StorageVerb, call: () => Promise<Result>): Promise<Result> {
    this.begin(verb);
    try {
      return await call();
    } catch (error) {
      this.fail(verb);
      throw error;
    }
  }

  begin(verb: StorageVerb): void {
    this.#byVerb[verb].calls += 1;
  }

  fail(verb: StorageVerb): void {
    this.#byVerb[verb].errors += 1;
  }

  snapshot(): StorageUsage {
    const byVerb = structuredClone(this.#byVerb);
    const calls = Object.values(byVerb).reduce((sum, usage) => sum + usage.calls, 0);
    return { byVerb, calls, bytesPut: this.bytesPut, bytesGot: this.bytesGot };
  }
}

/** One call, whatever number of objects it gives. */
async function* listCounted(
  counters: Counters,
  store: BlobStore,
  prefix: string,
  call: CallOptions | undefined,
): AsyncGenerator<BlobInfo> {
  counters.begin('list');
  try {
    yield* store.list(prefix, call);
  } catch (error) {
    counters.fail('list');
    throw error;
  }
}

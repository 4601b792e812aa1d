/**
 * Tries calls again that failed for a reason that passes. Waits grow exponentially with full jitter (a random time up to
 * the bound), so that many agents that lost one storage do not come back in step.
 *
 * A lost acknowledgement makes a create-only put fail with `object_exists` on its second attempt, over its own object.
 * That counts as success when an earlier attempt of this very call may have got through and the object's content equals
 * the body; on a first attempt `object_exists` always is another's.
 */
import { HoldfastError } from '@holdfast/base';
import type { BlobBody, BlobInfo, BlobStore, CallOptions } from '../blob-store.ts';
import { hasSameContent } from './same-content.ts';
import { type Sleep, systemSleep } from './sleep.ts';

export type RetryOptions = {
  readonly store: BlobStore;
  /** All attempts of one call, the first included. Default 6: with the default waits up to half a minute in all. */
  readonly maxAttempts?: number;
  /** Bound of the first wait; doubles with each. Default 250. */
  readonly firstWaitMs?: number;
  /** Default 15 000. */
  readonly maxWaitMs?: number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  readonly sleep?: Sleep;
  /** Told before each wait. */
  readonly onRetry?: (event: RetryEvent) => void;
};

export type RetryEvent = { readonly attempt: number; readonly waitMs: number; readonly error: HoldfastError };

/** Whether the same call may succeed a little later. A full storage does not empty itself within seconds. */
export function isRetryable(error: unknown): error is HoldfastError {
  if (!(error instanceof HoldfastError)) return false;
  if (error.code === 'storage_full' || error.code === 'interrupted') return false;
  return error.entry.retry === 'later';
}

/** Disposing it disposes the store inside. */
export function withRetry(options: RetryOptions): BlobStore {
  const { store } = options;
  return {
    capabilities: store.capabilities,
    put: (key, body, call) => persist(options, call?.signal, (earlier) => putOnce({ store, key, body, call, earlier })),
    get: (key, call) => persist(options, call?.signal, () => store.get(key, call)),
    list: (prefix, call) => listOn(options, prefix, call),
    delete: (key, call) => persist(options, call?.signal, () => store.delete(key, call)),
    head: (key, call) => persist(options, call?.signal, () => store.head(key, call)),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

async function persist<Result>(
  options: RetryOptions,
  signal: AbortSignal | undefined,
  run: (earlier: readonly HoldfastError[]) => Promise<Result>,
): Promise<Result> {
  const earlier: HoldfastError[] = [];
  for (;;) {
    try {
      return await run(earlier);
    } catch (error) {
      earlier.push(await waitOrThrow(options, signal, { error, attempt: earlier.length + 1 }));
    }
  }
}

/** Waits before the next attempt and gives back the error, or throws it when there is no next attempt. */
async function waitOrThrow(
  options: RetryOptions,
  signal: AbortSignal | undefined,
  { error, attempt }: { readonly error: unknown; readonly attempt: number },
): Promise<HoldfastError> {
  if (!isRetryable(error) || attempt >= (options.maxAttempts ?? 6)) throw error;
  const boundMs = Math.min(options.maxWaitMs ?? 15_000, (options.firstWaitMs ?? 250) * 2 ** (attempt - 1));
  const waitMs = boundMs * (options.random ?? Math.random)();
  options.onRetry?.({ attempt, waitMs, error });
  await (options.sleep ?? systemSleep)({ ms: waitMs, signal });
  return error;
}

async function putOnce(request: {
  readonly store: BlobStore;
  readonly key: string;
  readonly body: BlobBody;
  readonly call: (CallOptions & { readonly ifAbsent?: boolean }) | undefined;
  readonly earlier: readonly HoldfastError[];
}): Promise<void> {
  const { store, key, body, call, earlier } = request;
  try {
    await store.put(key, body, call);
  } catch (error) {
    const mayBeOwn = error instanceof HoldfastError && error.code === 'object_exists' && earlier.length > 0;
    if (!mayBeOwn || !(await hasSameContent({ store, key, body, signal: call?.signal }))) throw error;
  }
}

/** A listing that breaks off goes on behind the last key it gave: order makes that safe. Progress renews the attempts. */
async function* listOn(options: RetryOptions, prefix: string, call: CallOptions = {}): AsyncGenerator<BlobInfo> {
  let last: string | undefined;
  let attempt = 0;
  for (;;) {
    // Only errors of the storage are caught here: what a consumer throws ends a generator without passing through.
    try {
      for await (const info of options.store.list(prefix, call)) {
        if (last !== undefined && info.key <= last) continue;
        last = info.key;
        attempt = 0;
        yield info;
      }
      return;
    } catch (error) {
      attempt += 1;
      await waitOrThrow(options, call.signal, { error, attempt });
    }
  }
}

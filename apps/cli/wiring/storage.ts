/** From a storage URL to a store that counts, keeps to a rate and tries again. */
import {
  type BlobStore,
  LocalStore,
  parseStorageUrl,
  type StorageUsage,
  withMeter,
  withRetry,
  withThrottle,
} from '@holdfast/storage';
import type { Context } from '../command/invocation.ts';
import { formatDuration } from '../terminal/format.ts';
import { parseBytes } from './parse-values.ts';

export type StorageSelection = { readonly storage: string; readonly limitRate: string | undefined };

export interface OpenedStorage extends AsyncDisposable {
  readonly store: BlobStore;
  /** The same storage without repeated attempts, to see how it really behaves. */
  readonly direct: BlobStore;
  /** What really went over the wire so far, repeated attempts included. */
  usage(): StorageUsage;
}

/** @param options.create makes the directory when it is not there. @throws storage_url_invalid, storage errors */
export async function openStorage(options: {
  readonly selection: StorageSelection;
  readonly create?: boolean;
  readonly context: Context;
}): Promise<OpenedStorage> {
  const { selection, context, create = false } = options;
  const bytesPerSecond =
    selection.limitRate === undefined ? undefined : parseBytes('--limit-rate', selection.limitRate);
  const { directory } = parseStorageUrl(selection.storage);
  const metered = withMeter({ store: await LocalStore.open({ directory, create }) });
  const limited = bytesPerSecond === undefined ? metered : withThrottle({ store: metered, bytesPerSecond });
  const store = withRetry({
    store: limited,
    onRetry: ({ waitMs, error }) => context.output.warn(`${error.message} Trying again in ${formatDuration(waitMs)}.`),
  });
  return {
    store,
    direct: limited,
    usage: () => metered.snapshot(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

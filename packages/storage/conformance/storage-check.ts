/** One promise of the storage port, stated as something that can be run against any store. */
import type { BlobStore, StorageCapabilities } from '../blob-store.ts';

export type StorageCheckContext = {
  /** A key of this check's own scratch folder; what lies there is deleted afterwards, however the check ends. */
  readonly key: (name: string) => string;
  /** The scratch folder as a prefix, ending with a slash. */
  readonly prefix: string;
  readonly signal: AbortSignal | undefined;
};

/** Capabilities that a check can prove or refute. */
export type ProbedCapability = Extract<keyof StorageCapabilities, 'createOnlyPut' | 'listAfterWrite'>;

export type StorageCheck = {
  /** kebab-case; also the name of its scratch folder. */
  readonly name: string;
  /** What the port promises, one sentence. */
  readonly promise: string;
  /** Set when the promise holds only for stores that claim this capability. */
  readonly probes?: ProbedCapability;
  /** @throws storage_contract_broken with what was seen; other errors of the store mean that it could not be judged */
  readonly run: (store: BlobStore, context: StorageCheckContext) => Promise<void>;
};

export { bodyParts, bodySizeBytes } from './blob-body.ts';
export type {
  BlobBody,
  BlobInfo,
  BlobStore,
  ByteRange,
  CallOptions,
  GetOptions,
  StorageCapabilities,
} from './blob-store.ts';
export { resolveRange } from './byte-range.ts';
export { LocalStore, type LocalStoreOptions } from './drivers/local/local-store.ts';
export { assertKeyPrefix, assertObjectKey, isKeySegment, maxKeyLength } from './object-key.ts';
export { parseStorageUrl, type StorageLocation } from './storage-url.ts';
export { type MeteredStore, type StorageUsage, type StorageVerb, type VerbUsage, withMeter } from './wrappers/meter.ts';
export { isRetryable, type RetryEvent, type RetryOptions, withRetry } from './wrappers/retry.ts';
export { type Sleep, systemSleep } from './wrappers/sleep.ts';
export { type ThrottleOptions, withThrottle } from './wrappers/throttle.ts';

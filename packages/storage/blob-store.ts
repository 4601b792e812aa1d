/**
 * The storage port: what a backup storage must promise, whatever it is made of. Drivers implement this and nothing
 * more; retry, throttle and metering are wrappers with the same face. The conformance suite in `conformance/` states
 * each promise as a test and ships as `holdfast storage check`.
 *
 * Keys are relative paths of `[A-Za-z0-9._-]` segments joined by `/`, no segment empty or starting with a dot, at most
 * 512 characters (`object_key_invalid` otherwise). Objects are written once; the callers never reuse a key for other
 * content.
 */

/** What was probed, recorded and shown; the engine's protocol depends on the first three. */
export type StorageCapabilities = {
  /** `put` with `ifAbsent` is atomic: of two racing puts exactly one succeeds. */
  readonly createOnlyPut: boolean;
  /** A finished put is in every later list. */
  readonly listAfterWrite: boolean;
  /** A finished put survives power loss. */
  readonly durableAcknowledgement: boolean;
  readonly objectLock: boolean;
  readonly serverChecksum: boolean;
  readonly maxConnections: number;
  /** Pack size that suits it, bytes (32 MiB local, 64 MiB over a network). */
  readonly preferredPackBytes: number;
};

/**
 * Content of an object. As buffers: total length is their sum; they must not change until `put` settles. As a stream:
 * `open` may be called again (retries) and yields exactly `sizeBytes` bytes each time.
 */
export type BlobBody =
  | { readonly buffers: readonly Buffer[] }
  | { readonly sizeBytes: number; readonly open: () => AsyncIterable<Buffer> };

export type ByteRange = { readonly offset: number; readonly length: number };

export type BlobInfo = { readonly key: string; readonly sizeBytes: number };

export type CallOptions = { readonly signal?: AbortSignal | undefined };

export type GetOptions = CallOptions & {
  readonly range?: ByteRange;
  /**
   * Memory that the driver may use: what is answered is then a view of it. Whoever reads a lot in equal pieces saves the
   * page faults of fresh memory.
   */
  readonly into?: Buffer | undefined;
};

export interface BlobStore extends AsyncDisposable {
  readonly capabilities: StorageCapabilities;
  /**
   * Atomic and whole: afterwards the object is there complete and durable, or (on any error, abort or crash) nothing is
   * visible under the key. Overwrites unless `ifAbsent`.
   * @throws object_exists (ifAbsent only), storage_full, storage_denied, storage_unreachable
   */
  put(key: string, body: BlobBody, options?: CallOptions & { readonly ifAbsent?: boolean }): Promise<void>;
  /**
   * The bytes of `range` (the whole object when absent). A range that reaches past the end gives what there is; one
   * that begins at or past the end gives an empty buffer. A negative offset counts from the end (suffix range, clipped
   * at the start of the object) and goes on to the end; its length is ignored.
   * @throws object_not_found, storage_denied, storage_unreachable
   */
  get(key: string, options?: GetOptions): Promise<Buffer>;
  /** All objects whose key begins with `prefix`, in ascending byte order of the key. Temporary files are never listed. */
  list(prefix: string, options?: CallOptions): AsyncIterable<BlobInfo>;
  /** Gone afterwards; an object that was not there is no error. */
  delete(key: string, options?: CallOptions): Promise<void>;
  /** Size of the object, or undefined when it is not there. */
  head(key: string, options?: CallOptions): Promise<BlobInfo | undefined>;
}

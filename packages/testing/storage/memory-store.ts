/**
 * A whole storage in memory, for property tests and crash runs that need thousands of them. It keeps the port's contract
 * (the conformance suite runs on it) and copies content on the way in and out, as a real storage does.
 */
import { HoldfastError, MiB } from '@holdfast/base';
import {
  assertKeyPrefix,
  assertObjectKey,
  type BlobBody,
  type BlobInfo,
  type BlobStore,
  type GetOptions,
  bodyParts,
  type CallOptions,
  resolveRange,
  type StorageCapabilities,
} from '@holdfast/storage';

export class MemoryStore implements BlobStore {
  readonly capabilities: StorageCapabilities;
  /** Buffers in here are never changed, so clones share them. */
  readonly #objects: Map<string, Buffer>;

  constructor(options: { readonly capabilities?: Partial<StorageCapabilities> } = {}, objects?: Map<string, Buffer>) {
    this.capabilities = {
      createOnlyPut: true,
      listAfterWrite: true,
      durableAcknowledgement: true,
      objectLock: false,
      serverChecksum: false,
      maxConnections: 16,
      preferredPackBytes: 32 * MiB,
      ...options.capabilities,
    };
    this.#objects = objects ?? new Map();
  }

  /** The same objects from here on apart; costs a map of references, no content. */
  clone(): MemoryStore {
    return new MemoryStore({ capabilities: this.capabilities }, new Map(this.#objects));
  }

  /** All objects in key order; the buffers must not be changed. */
  objects(): ReadonlyMap<string, Buffer> {
    return new Map([...this.#objects].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  has(key: string): boolean {
    return this.#objects.has(key);
  }

  async put(key: string, body: BlobBody, options: CallOptions & { readonly ifAbsent?: boolean } = {}): Promise<void> {
    assertObjectKey(key);
    const parts: Buffer[] = [];
    for await (const part of bodyParts(body, options.signal)) {
      for (const buffer of part) parts.push(Buffer.from(buffer));
    }
    const content = Buffer.concat(parts);
    // From here to the end nothing waits: that is what makes it atomic.
    if (options.ifAbsent && this.#objects.has(key)) {
      throw new HoldfastError('object_exists', `${key} exists already.`, { facts: { key } });
    }
    this.#objects.set(key, content);
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    const content = this.#objects.get(key);
    if (!content) throw new HoldfastError('object_not_found', `There is no object ${key}.`, { facts: { key } });
    const { start, end } = resolveRange(options.range, content.length);
    return Buffer.from(content.subarray(start, end));
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<BlobInfo> {
    assertKeyPrefix(prefix);
    options.signal?.throwIfAborted();
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    for (const key of keys) {
      options.signal?.throwIfAborted();
      const content = this.#objects.get(key);
      if (content) yield { key, sizeBytes: content.length };
    }
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    this.#objects.delete(key);
  }

  async head(key: string, options: CallOptions = {}): Promise<BlobInfo | undefined> {
    assertObjectKey(key);
    options.signal?.throwIfAborted();
    const content = this.#objects.get(key);
    return content && { key, sizeBytes: content.length };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

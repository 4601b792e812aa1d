/**
 * A disk of a point as a BlockSource: for the NBD export, file recovery and copies. Pages load lazily, chunks are cached,
 * sequential readers are read ahead of. What it cannot read it fails; it never answers zeros instead.
 */
import { type BlockExtent, type BlockSource, type Extent, HoldfastError, MiB } from '@holdfast/base';
import { chunkLengthAt, type Geometry } from '../chunk/geometry.ts';
import type { RestorePoint } from '../manifest/points.ts';
import type { MapReader } from '../map/map-reader.ts';
import { readChunk } from '../pack/chunk-reader.ts';
import type { Repository } from '../repository/repository.ts';
import { openDiskMap } from '../restore/restore-disk.ts';
import { openReaderSession, type Session } from '../session/session.ts';

const defaultCacheBytes = 64 * MiB;
/** Chunks fetched ahead of a reader that goes forward. */
const defaultReadAheadChunks = 4;

export type PointDiskOptions = {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly disk?: string | undefined;
  readonly cacheBytes?: number;
  readonly signal?: AbortSignal | undefined;
};

/** Holds a reader's session until disposed, so that nothing it needs is collected. @throws disk_not_found, chunk_corrupt */
export async function openPointDisk(options: PointDiskOptions): Promise<BlockSource> {
  const { repository, point, signal } = options;
  const session = await openReaderSession({ repository, point, signal });
  try {
    return new PointDisk({ ...options, map: await openDiskMap(options), session });
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** The same for a caller that holds a reader's session and the map. */
export function pointDiskOf(options: {
  readonly repository: Repository;
  readonly map: MapReader;
  readonly cacheBytes: number;
  readonly readAheadChunks: number;
}): BlockSource {
  return new PointDisk(options);
}

class PointDisk implements BlockSource {
  readonly concurrency = 16;
  readonly #repository: Repository;
  readonly #map: MapReader;
  readonly #session: Session | undefined;
  readonly #readAheadChunks: number;
  readonly #cacheChunks: number;
  /** Least recently used first. Zero chunks are not cached: they cost nothing. */
  readonly #chunks = new Map<number, Promise<Buffer>>();
  #lastChunk = -1;
  #closed = false;

  constructor(options: {
    readonly repository: Repository;
    readonly map: MapReader;
    /** Ended with the disk. */
    readonly session?: Session;
    readonly cacheBytes?: number;
    readonly readAheadChunks?: number;
  }) {
    const { repository, map, session, cacheBytes = defaultCacheBytes } = options;
    this.#repository = repository;
    this.#map = map;
    this.#session = session;
    this.#readAheadChunks = options.readAheadChunks ?? defaultReadAheadChunks;
    this.#cacheChunks = Math.max(this.#readAheadChunks + 1, Math.floor(cacheBytes / map.geometry.chunkBytes));
  }

  get sizeBytes(): number {
    return this.#geometry.sizeBytes;
  }

  get #geometry(): Geometry {
    return this.#map.geometry;
  }

  async read({
    into,
    offset,
    signal,
  }: {
    into: Buffer;
    offset: number;
    signal?: AbortSignal | undefined;
  }): Promise<void> {
    if (offset < 0 || offset + into.length > this.sizeBytes) {
      throw new HoldfastError('source_unreadable', `A read of ${into.length} bytes at ${offset} is outside the disk.`);
    }
    const { chunkBytes } = this.#geometry;
    for (let done = 0; done < into.length; ) {
      signal?.throwIfAborted();
      const chunk = Math.floor((offset + done) / chunkBytes);
      const start = offset + done - chunk * chunkBytes;
      const length = Math.min(into.length - done, chunkBytes - start);
      const plain = await this.#chunk(chunk);
      if (plain) plain.copy(into, done, start, start + length);
      else into.fill(0, done, done + length);
      done += length;
    }
  }

  async *extents({
    offset,
    length,
    signal,
  }: Extent & { signal?: AbortSignal | undefined }): AsyncGenerator<BlockExtent> {
    const { chunkBytes } = this.#geometry;
    const end = offset + length;
    let run: BlockExtent | undefined;
    for (let at = offset; at < end; ) {
      signal?.throwIfAborted();
      const chunk = Math.floor(at / chunkBytes);
      const next = Math.min(end, (chunk + 1) * chunkBytes);
      const zero = (await this.#map.entry(chunk, signal)).kind === 'zero';
      if (run && run.zero === zero) run = { ...run, length: next - run.offset };
      else {
        if (run) yield run;
        run = { offset: at, length: next - at, zero };
      }
      at = next;
    }
    if (run) yield run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#chunks.values());
    this.#chunks.clear();
    await this.#session?.[Symbol.asyncDispose]();
  }

  /** Plaintext of a chunk, or undefined when it is zero. */
  async #chunk(chunk: number): Promise<Buffer | undefined> {
    const sequential = chunk === this.#lastChunk + 1;
    this.#lastChunk = chunk;
    const reference = await this.#map.entry(chunk);
    if (sequential) this.#readAhead(chunk);
    switch (reference.kind) {
      case 'zero':
        return undefined;
      case 'bad':
        throw new HoldfastError('chunk_corrupt', `Chunk ${chunk} is recorded as unreadable.`);
      case 'data':
      case 'split':
        return await this.#fetch(chunk);
      default:
        return reference satisfies never;
    }
  }

  #readAhead(chunk: number): void {
    const end = Math.min(this.#geometry.chunkCount, chunk + 1 + this.#readAheadChunks);
    for (let ahead = chunk + 1; ahead < end; ahead += 1) {
      if (!this.#chunks.has(ahead)) void this.#prefetch(ahead);
    }
  }

  async #prefetch(chunk: number): Promise<void> {
    try {
      const reference = await this.#map.entry(chunk);
      if ('id' in reference && !this.#closed) await this.#fetch(chunk);
    } catch {
      // Whoever really reads it meets the error.
    }
  }

  async #fetch(chunk: number): Promise<Buffer> {
    const cached = this.#chunks.get(chunk);
    if (cached) {
      this.#chunks.delete(chunk);
      this.#chunks.set(chunk, cached);
      return await cached;
    }
    const loading = this.#load(chunk);
    this.#chunks.set(chunk, loading);
    loading.catch(() => this.#chunks.delete(chunk));
    if (this.#chunks.size > this.#cacheChunks) this.#chunks.delete(this.#chunks.keys().next().value!);
    return await loading;
  }

  async #load(chunk: number): Promise<Buffer> {
    const reference = await this.#map.entry(chunk);
    if (!('id' in reference)) throw new HoldfastError('internal', `Chunk ${chunk} has no content to load.`);
    const plain = await readChunk(this.#repository, { reference });
    if (plain.length !== chunkLengthAt(this.#geometry, chunk)) {
      throw new HoldfastError(
        'chunk_corrupt',
        `Chunk ${chunk} has ${plain.length} bytes, which does not fit its place.`,
      );
    }
    return plain;
  }
}

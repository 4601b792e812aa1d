/**
 * Everything one backup puts: packs, their index entries, the changes of the pack table. All disks of a point share it,
 * so content that two disks have in common goes once.
 */
import { availableParallelism } from 'node:os';
import { BufferSlots, HoldfastError } from '@holdfast/base';
import { type ChunkDigest, changedSubChunks, subChunkOf } from '../chunk/chunk-digest.ts';
import { hashBytes } from '../chunk/hash.ts';
import { encodePatch } from '../chunk/patch.ts';
import { type CompressionLevel, compressionLevels, packedBound } from '../codec/compression.ts';
import type { FrameKind } from '../codec/frame.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import { SessionIndex } from '../index/session-index.ts';
import { PackTableChanges } from '../map/pack-table-changes.ts';
import type { Reference } from '../map/reference-list.ts';
import type { FrameReference } from '../pack/frame-reader.ts';
import { PackWriter, type PendingLocation, packTargetBytes } from '../pack/pack-writer.ts';
import { indexPrefix, type PackKind, sessionSpillPrefix } from '../repository/layout.ts';
import type { Session } from '../session/session.ts';
import { KnownChunks, type KnownChunksOptions } from './known-chunks.ts';
import { type PatchBase, patchLimit } from './patch-base.ts';

/** Data packs in upload beside the one being filled: two keep a fast disk busy while hashing goes on. */
const dataUploads = 2;
const metaUploads = 1;
/** Chunks in compression at once: the cores, and some that wait for their turn. Only what is used of them takes memory. */
const packedSlots = Math.min(16, 2 * availableParallelism() + 2);

/** Where a chunk is: in a pack of before, in one of this session that may still be open, or there as a patch of a base. */
export type ChunkPlace =
  | { readonly location: ChunkLocation }
  | { readonly pending: PendingLocation; readonly base?: ChunkLocation };

export type WholeChunk = {
  readonly digest: ChunkDigest;
  readonly plain: Buffer;
  /** The earlier point's entry at the same place. */
  readonly before: Reference | undefined;
  /** What `openPatchBase` answers for `before`, where it was asked already. */
  readonly base?: Promise<PatchBase | undefined> | undefined;
};

/** A chunk that is a stored one but for a few sub-chunks; no more of them than `patchLimit` says. */
export type PatchedChunk = {
  readonly digest: ChunkDigest;
  readonly base: PatchBase;
  /** Ascending. */
  readonly changed: readonly number[];
  readonly contentOf: (subChunk: number) => Buffer;
};

export type NewChunk = WholeChunk | PatchedChunk;

export type StoredChunk = {
  readonly place: ChunkPlace;
  /** Plain bytes that had to be stored; 0 for a chunk that was there. */
  readonly newBytes: number;
};

export type UploadSessionOptions = KnownChunksOptions & {
  readonly session: Session;
  /** No chunk of the session is longer. */
  readonly largestChunkBytes: number;
  readonly level?: CompressionLevel | undefined;
};

export class UploadSession {
  readonly tableChanges = new PackTableChanges();
  /** Of sessions before. */
  readonly known: KnownChunks;
  readonly #options: UploadSessionOptions;
  readonly #own: SessionIndex;
  readonly #data: PackWriter;
  readonly #meta: PackWriter;
  /** Where chunks are packed before they go into a pack. */
  readonly #packed: BufferSlots;
  readonly #packIds: (string | undefined)[] = [];
  /** Chunks on their way into a pack, by id: of two equal ones at once, one waits for the other. */
  readonly #underway = new Map<string, Promise<StoredChunk>>();

  private constructor(options: UploadSessionOptions, known: KnownChunks) {
    const { repository, session, signal } = options;
    const { store, domain, configuration } = repository;
    this.#options = options;
    this.known = known;
    this.#packed = new BufferSlots({ slots: packedSlots, slotBytes: packedBound(options.largestChunkBytes) });
    this.#own = new SessionIndex({
      store,
      prefix: indexPrefix(domain),
      spillPrefix: sessionSpillPrefix(session.id),
      clock: repository.clock,
      signal,
    });
    const writer = (kind: PackKind, uploads: number) =>
      new PackWriter({
        store,
        domain,
        kind,
        uploads,
        hash: configuration.hash,
        nonce: session.nonce,
        targetBytes: packTargetBytes(kind, configuration.defaults.pack_bytes),
        nextOrdinal: () => this.#packIds.push(undefined) - 1,
        onSealed: ({ ordinal, packId }) => {
          this.#packIds[ordinal] = packId;
          if (kind === 'data') this.#own.sealPack(ordinal, packId);
        },
        signal,
      });
    this.#data = writer('data', dataUploads);
    this.#meta = writer('meta', metaUploads);
  }

  /** The session object must be on the storage before. */
  static async open(options: UploadSessionOptions): Promise<UploadSession> {
    return new UploadSession(options, await KnownChunks.open(options));
  }

  /** Bytes of packs sealed so far, data and meta. */
  get putBytes(): number {
    return this.#data.written.storedBytes + this.#meta.written.storedBytes;
  }

  /** Where the whole chunk is, if the repository has it already. */
  async find(id: Buffer): Promise<ChunkPlace | undefined> {
    const own = await this.#own.lookup(id);
    if (own) return { pending: own };
    const location = await this.known.find(id);
    return location && { location };
  }

  /**
   * Makes sure the chunk is in the repository, as a whole or as a patch of what was in its place before. Its buffers may
   * be reused once the promise has settled.
   * @throws upload errors of any pack so far
   */
  async storeChunk(chunk: NewChunk): Promise<StoredChunk> {
    const { id } = chunk.digest;
    const own = await this.#own.lookup(id);
    if (own) return { place: { pending: own }, newBytes: 0 };
    const name = id.toString('latin1');
    const underway = this.#underway.get(name);
    if (underway) return { place: (await underway).place, newBytes: 0 };
    const placing = this.#place(chunk);
    this.#underway.set(name, placing);
    try {
      return await placing;
    } finally {
      this.#underway.delete(name);
    }
  }

  /** Stores map pages, roots and the like; never deduplicated, as they name locations. */
  async storeMeta(
    kind: Exclude<FrameKind, 'data' | 'patch'>,
    plain: Buffer,
  ): Promise<{ id: Buffer; pending: PendingLocation }> {
    const { codec } = this.#options.repository;
    const id = codec.idOf(kind, plain);
    const frame = await codec.encode({ kind, id, plain, level: compressionLevels.fast });
    return { id, pending: await this.#meta.append(frame) };
  }

  /** What a map says of the chunk, or undefined while its pack is open. */
  resolve(id: Buffer, place: ChunkPlace): Reference | undefined {
    if ('location' in place) return { kind: 'data', id, location: place.location };
    const location = this.#locationOf(place.pending);
    if (!location) return undefined;
    return place.base ? { kind: 'split', id, base: place.base, patch: location } : { kind: 'data', id, location };
  }

  /** Where a frame lies, after its pack was finished. */
  referenceTo(stored: { readonly id: Buffer; readonly pending: PendingLocation }): FrameReference {
    const location = this.#locationOf(stored.pending);
    if (!location) throw new HoldfastError('internal', 'A reference was asked for before its pack was sealed.');
    return { id: stored.id, location };
  }

  /** Every data chunk stored so far has its place for good; its pack is on the way. */
  sealData(): void {
    this.#data.seal();
  }

  /** As `sealData`, for what `storeMeta` stored. */
  sealMeta(): void {
    this.#meta.seal();
  }

  /** Every pack is acknowledged afterwards. @throws the first upload error */
  async finish(): Promise<void> {
    await Promise.all([this.#data.finish(), this.#meta.finish()]);
  }

  /** After the commit: makes this session's chunks visible to other sessions. */
  async publishIndex(): Promise<void> {
    await this.#own.publish({ signal: this.#options.signal });
  }

  /** After a failure: nothing of this session is in flight afterwards. */
  async abandon(): Promise<void> {
    await Promise.all([this.#data.abandon(), this.#meta.abandon()]);
    await this.#own.discard();
  }

  async #place(chunk: NewChunk): Promise<StoredChunk> {
    const { digest } = chunk;
    const location = await this.known.find(digest.id);
    if (location) return { place: { location }, newBytes: 0 };
    // What was lost goes whole, so that it heals the points that need it.
    const patched =
      'changed' in chunk ? chunk : (await this.known.isLost(digest.id)) ? undefined : await this.#patchOf(chunk);
    if (patched) return await this.#placePatch(patched);
    const { plain } = chunk as WholeChunk;
    const { pending } = await this.#append('data', plain, digest);
    this.#own.add({ id: digest.id, ...pending });
    return { place: { pending }, newBytes: plain.length };
  }

  async #placePatch({ base, changed, contentOf }: PatchedChunk): Promise<StoredChunk> {
    if (changed.length === 0) return { place: { location: base.location }, newBytes: 0 };
    const content = encodePatch(base.digest.id, changed, contentOf);
    const { pending } = await this.#append('patch', content, {});
    return { place: { base: base.location, pending }, newBytes: content.length };
  }

  async #append(
    kind: 'data' | 'patch',
    plain: Buffer,
    digest: Partial<ChunkDigest>,
  ): Promise<{ readonly pending: PendingLocation }> {
    const { repository, level = compressionLevels.fast } = this.#options;
    const id = digest.id ?? repository.codec.idOf(kind, plain);
    return await this.#packed.with(async (into) => {
      const frame = await repository.codec.encode({ kind, plain, level, ...digest, id, into });
      return { pending: await this.#data.append(frame) };
    });
  }

  /** A patch when the chunk differs little from what was in its place, and that can be compared with. */
  async #patchOf({ digest, plain, before, base: opening }: WholeChunk): Promise<PatchedChunk | undefined> {
    const limit = patchLimit(digest.subChunkHashes.length / hashBytes);
    if (limit === 0) return undefined;
    const base = await (opening ?? this.known.openPatchBase({ before, chunkBytes: plain.length, withPatched: false }));
    const changed = base && changedSubChunks(base.digest.subChunkHashes, digest.subChunkHashes);
    if (!changed || changed.length > limit) return undefined;
    return { digest, base, changed, contentOf: (index) => subChunkOf(plain, index) };
  }

  #locationOf({ packOrdinal, slot, offset, storedBytes }: PendingLocation): ChunkLocation | undefined {
    const packId = this.#packIds[packOrdinal];
    return packId === undefined ? undefined : { packId, slot, offset, storedBytes };
  }
}

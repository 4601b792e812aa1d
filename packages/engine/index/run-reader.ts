/**
 * One run, looked up. Nothing is read before the first lookup; afterwards a miss costs one filter (usually cached), a
 * hit one block of entries more. What cannot be used counts as absent and is reported once.
 */
import type { BlobStore } from '@holdfast/storage';
import type { BlockCache } from './block-cache.ts';
import { damageFrom, type IndexDamage, type OnIndexDamage } from './damage.ts';
import { compareEntryId, entryBytes, type IndexEntry, readEntry } from './entry.ts';
import { readRunHead } from './run-head.ts';
import { crcBytes, packRecordBytes, pieceAt, pieceHolds, type PieceKind, type RunLayout } from './run-layout.ts';
import { shardOf } from './shard.ts';
import { probeFilter } from './shard-filter.ts';

export type RunReaderOptions = {
  readonly store: BlobStore;
  readonly key: string;
  readonly sizeBytes: number;
  readonly cache: BlockCache;
  readonly onDamage: OnIndexDamage;
  readonly signal?: AbortSignal | undefined;
};

/** A pack as the run's table names it. */
export type RunPack = { readonly packId: string; readonly publishedMs: number };

const kindKeys: Record<PieceKind, number> = { table: 0, filter: 0, entries: 2 ** 32, packs: 2 ** 33 };

export class RunReader {
  readonly key: string;
  readonly #options: RunReaderOptions;
  readonly #owner: number;
  /** Keys of pieces that failed their checksum: neither read nor reported again. */
  readonly #rotten = new Set<number>();
  #layout: RunLayout | undefined;
  #opening: Promise<RunLayout | undefined> | undefined;
  #gone = false;

  constructor(options: RunReaderOptions) {
    this.key = options.key;
    this.#options = options;
    this.#owner = options.cache.newOwner();
  }

  /** The object was deleted by somebody since it was listed. */
  get gone(): boolean {
    return this.#gone;
  }

  /** True when what is in memory proves that `id` is not in this run; false says nothing. */
  excludes(id: Buffer): boolean {
    if (this.#layout === undefined) return false;
    const shard = shardOf(id, 0, this.#layout.shardBits);
    const count = this.#layout.shardCounts[shard]!;
    if (count === 0) return true;
    const filter = this.#options.cache.get(this.#owner + shard);
    return filter !== undefined && probeFilter({ filter, count, id, shardBits: this.#layout.shardBits }) < 0;
  }

  /** The entry of `id`; undefined when it is not there or cannot be read. Throws only the abort reason. */
  async find(id: Buffer): Promise<IndexEntry | undefined> {
    const layout = await this.#open();
    if (layout === undefined) return undefined;
    const shard = shardOf(id, 0, layout.shardBits);
    const count = layout.shardCounts[shard]!;
    if (count === 0) return undefined;
    const filter = await this.#piece(layout, 'filter', shard);
    if (filter === undefined) return undefined;
    const rank = probeFilter({ filter, count, id, shardBits: layout.shardBits });
    if (rank < 0) return undefined;
    return this.#findFrom(layout, layout.shardRanks[shard]! + rank, layout.shardRanks[shard + 1]!, id);
  }

  async pack(ordinal: number): Promise<RunPack | undefined> {
    const layout = await this.#open();
    if (layout === undefined || ordinal >= layout.packCount) return undefined;
    const page = await this.#piece(layout, 'packs', Math.floor(ordinal / layout.packsPerPage));
    if (page === undefined) return undefined;
    const at = (ordinal % layout.packsPerPage) * packRecordBytes;
    return { packId: page.toString('hex', at, at + 32), publishedMs: page.readUIntLE(at + 32, 6) };
  }

  /** Walks on from the rank that the filter gave; ids that are cut alike stand next to each other. */
  async #findFrom(layout: RunLayout, from: number, end: number, id: Buffer): Promise<IndexEntry | undefined> {
    for (let rank = from; rank < end; ) {
      const ordinal = Math.floor(rank / layout.entriesPerBlock);
      const block = await this.#piece(layout, 'entries', ordinal);
      if (block === undefined) return undefined;
      const blockEnd = Math.min(end, (ordinal + 1) * layout.entriesPerBlock);
      for (; rank < blockEnd; rank += 1) {
        const at = (rank - ordinal * layout.entriesPerBlock) * entryBytes;
        const order = compareEntryId(block, at, id);
        if (order === 0) return readEntry(block, at);
        if (order > 0) return undefined;
      }
    }
    return undefined;
  }

  #open(): Promise<RunLayout | undefined> {
    this.#opening ??= this.#readHead();
    return this.#opening;
  }

  async #readHead(): Promise<RunLayout | undefined> {
    try {
      const { layout, prefix } = await readRunHead(this.#options);
      this.#keepPrefix(layout, prefix);
      this.#layout = layout;
      return layout;
    } catch (error) {
      const { reason } = this.#report(error);
      // The storage may answer the next time; a damaged head stays one.
      if (reason === 'unreadable') this.#opening = undefined;
      return undefined;
    }
  }

  async #piece(layout: RunLayout, kind: PieceKind, ordinal: number): Promise<Buffer | undefined> {
    const key = this.#owner + kindKeys[kind] + ordinal;
    if (this.#gone || this.#rotten.has(key)) return undefined;
    try {
      return await this.#options.cache.load(key, () => this.#readPiece(layout, kind, ordinal));
    } catch (error) {
      this.#report(error);
      return undefined;
    }
  }

  async #readPiece(layout: RunLayout, kind: PieceKind, ordinal: number): Promise<Buffer | undefined> {
    const range = pieceAt(layout, kind, ordinal);
    const piece = await this.#options.store.get(this.key, { range, signal: this.#options.signal });
    if (piece.length === range.length && pieceHolds(piece, layout.nonce, kind, ordinal)) return piece;
    this.#rotten.add(this.#owner + kindKeys[kind] + ordinal);
    const detail = `Piece ${kind} ${ordinal} does not fit its checksum.`;
    this.#options.onDamage({ key: this.key, reason: 'corrupt', detail });
    return undefined;
  }

  /** A small run is served from the opening read alone. Pieces that do not hold are left to be read again. */
  #keepPrefix(layout: RunLayout, prefix: Buffer): void {
    const keep = (kind: PieceKind, count: number): boolean => {
      for (let ordinal = 0; ordinal < count; ordinal += 1) {
        const { offset, length } = pieceAt(layout, kind, ordinal);
        if (offset + length > prefix.length) return false;
        if (length === crcBytes) continue;
        const piece = prefix.subarray(offset, offset + length);
        if (!pieceHolds(piece, layout.nonce, kind, ordinal)) continue;
        this.#options.cache.put(this.#owner + kindKeys[kind] + ordinal, piece);
      }
      return true;
    };
    if (!keep('filter', layout.shardCounts.length)) return;
    if (!keep('entries', Math.ceil(layout.entryCount / layout.entriesPerBlock))) return;
    keep('packs', Math.ceil(layout.packCount / layout.packsPerPage));
  }

  #report(error: unknown): IndexDamage {
    this.#options.signal?.throwIfAborted();
    const damage = damageFrom(this.key, error);
    if (!this.#gone) this.#options.onDamage(damage);
    if (damage.reason === 'vanished') this.#gone = true;
    return damage;
  }
}

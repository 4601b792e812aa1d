/**
 * Collects frames into packs and uploads them in the background. Memory is bounded: `uploads + 1` pack buffers exist,
 * and `append` waits while all of them are busy. A pack's id is known when it is sealed, so locations carry the pack's
 * ordinal in the session until then.
 */
import { alignedBuffer, HoldfastError, MiB } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { type HashAlgorithm, objectHash } from '../chunk/hash.ts';
import type { EncodedFrame } from '../codec/chunk-codec.ts';
import { type PackKind, packKey } from '../repository/layout.ts';
import {
  directoryEntryBytes,
  encodePackHeader,
  encodePackTail,
  maximumSlots,
  type PackSlot,
  packHeaderBytes,
  packTrailerBytes,
} from './pack-format.ts';

/** A TiB of map is 44 MiB; buffers of whole data packs for it would only cost memory. */
const metaPackBytes = 8 * MiB;

/** @param packBytes as the repository has it */
export function packTargetBytes(kind: PackKind, packBytes: number): number {
  return kind === 'data' ? packBytes : Math.min(packBytes, metaPackBytes);
}

/** Where a frame of this session lies. */
export type PendingLocation = {
  readonly packOrdinal: number;
  readonly slot: number;
  readonly offset: number;
  readonly storedBytes: number;
};

export type PackWriterOptions = {
  readonly store: BlobStore;
  readonly domain: string;
  readonly kind: PackKind;
  readonly hash: HashAlgorithm;
  /** 16 bytes, the session's. */
  readonly nonce: Buffer;
  /** A pack is sealed when the next frame would take it over this size. */
  readonly targetBytes: number;
  /** Called once a pack has its id, before its upload ends. */
  readonly onSealed: (pack: { readonly ordinal: number; readonly packId: string }) => void;
  /** First ordinal; writers of one session share one numbering through `nextOrdinal`. */
  readonly nextOrdinal: () => number;
  /** Packs in upload beside the one being filled; 2 keep a fast local disk busy while hashing goes on. */
  readonly uploads: number;
  readonly signal?: AbortSignal | undefined;
};

type OpenPack = { readonly ordinal: number; buffer: Buffer; used: number; slots: PackSlot[] };

export class PackWriter {
  readonly #options: PackWriterOptions;
  readonly #idle: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #uploads = new Set<Promise<void>>();
  #buffers = 0;
  #open: OpenPack | undefined;
  #opening: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #packs = 0;
  #storedBytes = 0;

  constructor(options: PackWriterOptions) {
    this.#options = options;
  }

  /** Sealed packs and their bytes so far. */
  get written(): { readonly packs: number; readonly storedBytes: number } {
    return { packs: this.#packs, storedBytes: this.#storedBytes };
  }

  /**
   * Copies the frame into the open pack.
   * @throws the first upload error of any pack; the writer is of no use afterwards
   */
  async append(frame: EncodedFrame): Promise<PendingLocation> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      if (this.#open && !this.#fits(this.#open, frame)) this.#seal(this.#open);
      if (this.#open) return this.#place(this.#open, frame);
      await (this.#opening ??= this.#openNext(frame.storedBytes));
    }
  }

  /** Ends the pack that is open; afterwards every frame appended so far is in a pack with an id. */
  seal(): void {
    if (this.#open) this.#seal(this.#open);
  }

  /** Seals what is open and waits until every pack is acknowledged. */
  async finish(): Promise<void> {
    this.seal();
    while (this.#uploads.size > 0) await Promise.all(this.#uploads);
    if (this.#failure) throw this.#failure.error;
  }

  /** Waits until nothing is in flight, whatever came of it; for the way out after a failure. */
  async abandon(): Promise<void> {
    this.#failure ??= { error: new HoldfastError('interrupted', 'The pack writer was abandoned.') };
    this.#wakeAll();
    await Promise.allSettled(this.#uploads);
  }

  #fits(pack: OpenPack, frame: EncodedFrame): boolean {
    if (pack.slots.length === 0) return true;
    const tailBytes = (pack.slots.length + 1) * directoryEntryBytes + packTrailerBytes;
    return pack.slots.length < maximumSlots && pack.used + frame.storedBytes + tailBytes <= this.#options.targetBytes;
  }

  #place(pack: OpenPack, frame: EncodedFrame): PendingLocation {
    const { id, kind, plainBytes, storedBytes } = frame;
    const offset = pack.used;
    if (offset + storedBytes > pack.buffer.length) {
      // The pack was opened for a smaller frame, and this one, larger than a pack, came first.
      pack.buffer = Buffer.concat([pack.buffer.subarray(0, offset)], offset + storedBytes);
    }
    for (const part of frame.parts) pack.used += part.copy(pack.buffer, pack.used);
    pack.slots.push({ id, kind, offset, storedBytes, plainBytes });
    return { packOrdinal: pack.ordinal, slot: pack.slots.length - 1, offset, storedBytes };
  }

  async #openNext(firstFrameBytes: number): Promise<void> {
    try {
      const wantedBytes = Math.max(
        this.#options.targetBytes,
        packHeaderBytes + firstFrameBytes + directoryEntryBytes + packTrailerBytes,
      );
      const buffer = await this.#takeBuffer(wantedBytes);
      if (this.#failure) return;
      const { kind, nonce, nextOrdinal } = this.#options;
      const ordinal = nextOrdinal();
      const used = encodePackHeader({ kind, nonce, ordinal }).copy(buffer);
      this.#open = { ordinal, buffer, used, slots: [] };
    } finally {
      this.#opening = undefined;
    }
  }

  async #takeBuffer(wantedBytes: number): Promise<Buffer> {
    while (this.#idle.length === 0 && this.#buffers > this.#options.uploads && !this.#failure) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    const idle = this.#idle.pop();
    if (idle && idle.length >= wantedBytes) return idle;
    if (!idle) this.#buffers += 1;
    return alignedBuffer(wantedBytes);
  }

  #seal(pack: OpenPack): void {
    this.#open = undefined;
    const tail = encodePackTail(pack.slots, pack.used);
    // A first frame larger than the target leaves no room for its directory: rare, so a copy is fine.
    const bytes =
      pack.used + tail.length <= pack.buffer.length
        ? pack.buffer.subarray(0, pack.used + tail.copy(pack.buffer, pack.used))
        : Buffer.concat([pack.buffer.subarray(0, pack.used), tail]);
    const { store, domain, kind, hash, signal, onSealed } = this.#options;
    const packId = objectHash(hash, bytes).toString('hex');
    this.#packs += 1;
    this.#storedBytes += bytes.length;
    const upload = store
      .put(packKey({ domain, kind, packId }), { buffers: [bytes] }, { signal })
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#uploads.delete(upload);
        this.#idle.push(pack.buffer);
        this.#wakeAll();
      });
    this.#uploads.add(upload);
    onSealed({ ordinal: pack.ordinal, packId });
  }

  #wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

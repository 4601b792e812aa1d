/**
 * Rule *forward* of ADR 0007: live frames of sparse packs are copied into new packs, without keys, and `moved/` says where
 * they are. Maps and manifests stay as they are; the old packs go with the next collection. A run may end anywhere: what
 * it had forwarded stays so, what it had only copied is garbage, and the next run goes on.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import { objectHash } from '../chunk/hash.ts';
import { SessionIndex } from '../index/session-index.ts';
import type { FrameKind } from '../codec/frame.ts';
import type { Forwardings, SlotPlace } from '../pack/forwardings.ts';
import { directoryOfPack } from '../pack/pack-directory.ts';
import { type Move, putForwardings } from '../pack/put-forwardings.ts';
import { PackWriter, type PendingLocation, packTargetBytes } from '../pack/pack-writer.ts';
import { indexPrefix, type PackKind, packKey, sessionSpillPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { openSession, type Session } from '../session/session.ts';
import { findSparsePacks, inWrittenOrder, type SparsePack } from './sparse-packs.ts';

export const defaultThresholdPercent = 50;
/** Packs in upload beside the one being filled. */
const uploads = 2;
/** New packs between two rounds of forwarding: what a killed run did for nothing is at most this much. */
const packsPerRound = 8;

export type CompactOptions = {
  readonly repository: Repository;
  /** A pack is compacted when less than this much of it is live, in per cent of the stored bytes; 50 when absent. */
  readonly thresholdPercent?: number | undefined;
  /** Bytes to copy at most; what is left over is for the next run. */
  readonly maxBytes?: number | undefined;
  /** As of `collect`. */
  readonly cacheDirectory?: string | undefined;
  /** Say what would be done, and put nothing but a reader's session. */
  readonly dryRun?: boolean | undefined;
  readonly onProgress?: ((progress: { readonly doneBytes: number; readonly totalBytes: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type CompactReport = {
  /** Packs that were forwarded, or would be; with all their frames' bytes. */
  readonly packs: { readonly count: number; readonly bytes: number };
  /** Live bytes that were copied, or would be. */
  readonly copiedBytes: number;
  readonly newPacks: number;
  /** Sparse, but beyond `maxBytes`. */
  readonly left: { readonly count: number; readonly bytes: number };
  /** Packs that are damaged, so that nothing is copied out of them: verify and heal are for those. */
  readonly damaged: readonly string[];
};

/**
 * Every point is as whole as before, whatever happens.
 * @throws usage, session_fenced, collect_refused, manifest_vanished, repository_damaged, storage errors
 */
export async function compact(options: CompactOptions): Promise<CompactReport> {
  const {
    repository,
    thresholdPercent = defaultThresholdPercent,
    maxBytes = Infinity,
    dryRun = false,
    signal,
  } = options;
  if (!(thresholdPercent > 0 && thresholdPercent <= 100)) {
    throw new HoldfastError('usage', `A threshold of ${thresholdPercent} per cent is not between 0 and 100.`);
  }
  const { createOnlyPut, listAfterWrite } = repository.store.capabilities;
  if (!createOnlyPut || !listAfterWrite) {
    throw new HoldfastError('collect_refused', 'This storage does not say for sure what it holds, or who was first.');
  }
  await using session = await openSession({ repository, role: dryRun ? 'reader' : 'keeper', signal });
  const sparse = await findSparsePacks({ ...options, threshold: thresholdPercent / 100 });
  const chosen: SparsePack[] = [];
  let totalBytes = 0;
  for (const pack of sparse.packs) {
    if (totalBytes + pack.liveBytes > maxBytes) continue;
    chosen.push(pack);
    totalBytes += pack.liveBytes;
  }
  const rest = sparse.packs.filter((pack) => !chosen.includes(pack));
  const left = { count: rest.length, bytes: frameBytesOf(rest) };
  if (dryRun) {
    const packs = { count: chosen.length, bytes: frameBytesOf(chosen) };
    return { packs, copiedBytes: totalBytes, newPacks: 0, left, damaged: sparse.unreadable };
  }
  const compaction = new Compaction({ repository, session, forwardings: sparse.forwardings, signal });
  let doneBytes = 0;
  for (const kind of ['data', 'meta'] as const) {
    const ofKind = chosen.filter((pack) => pack.kind === kind);
    const roundBytes = packsPerRound * packTargetBytes(kind, repository.configuration.defaults.pack_bytes);
    for (const round of rounds(await inWrittenOrder(repository, ofKind, signal), roundBytes)) {
      await compaction.move(kind, round);
      for (const { liveBytes } of round) doneBytes += liveBytes;
      options.onProgress?.({ doneBytes, totalBytes });
    }
  }
  return {
    packs: { count: compaction.moved.length, bytes: frameBytesOf(compaction.moved) },
    copiedBytes: compaction.moved.reduce((sum, { liveBytes }) => sum + liveBytes, 0),
    newPacks: compaction.newPacks,
    left,
    damaged: [...sparse.unreadable, ...compaction.damaged],
  };
}

type Copied = {
  readonly id: Buffer;
  readonly kind: FrameKind;
  /** Where its forwarding goes to. */
  readonly from: SlotPlace;
  readonly pending: PendingLocation;
};

type CompactionOptions = {
  readonly repository: Repository;
  readonly session: Session;
  readonly forwardings: Forwardings;
  readonly signal: AbortSignal | undefined;
};

class Compaction {
  readonly moved: SparsePack[] = [];
  readonly damaged: string[] = [];
  newPacks = 0;
  readonly #options: CompactionOptions;
  readonly #packIds: (string | undefined)[] = [];

  constructor(options: CompactionOptions) {
    this.#options = options;
  }

  /** Copies, forwards, publishes: in this order each is safe to be the last thing that was done. */
  async move(kind: PackKind, packs: readonly SparsePack[]): Promise<void> {
    const { repository, session, forwardings, signal } = this.#options;
    const copied = await this.#copy(kind, packs);
    const moves = copied.map((frame) => {
      const { packOrdinal, ...place } = frame.pending;
      return { from: frame.from, to: { packId: this.#packIds[packOrdinal]!, ...place }, frame };
    });
    const put = await putForwardings({ repository, session, forwardings, kind, moves, signal });
    if (kind === 'data') await this.#publish(put);
  }

  async #copy(kind: PackKind, packs: readonly SparsePack[]): Promise<readonly Copied[]> {
    const { repository, session, signal } = this.#options;
    const { store, domain, configuration } = repository;
    const writer = new PackWriter({
      store,
      domain,
      kind,
      hash: configuration.hash,
      nonce: session.nonce,
      targetBytes: packTargetBytes(kind, configuration.defaults.pack_bytes),
      nextOrdinal: () => this.#packIds.push(undefined) - 1,
      onSealed: ({ ordinal, packId }) => {
        this.#packIds[ordinal] = packId;
      },
      uploads,
      signal,
    });
    const copied: Copied[] = [];
    try {
      for (const pack of packs) {
        const bytes = await this.#readProved(pack);
        if (!bytes) continue;
        const directory = directoryOfPack(bytes, pack.packId);
        for (const slot of pack.liveSlots) {
          const { kind: frameKind, offset, storedBytes, plainBytes, id: view } = directory[slot]!;
          // A view would keep the whole pack in memory until the round is over.
          const id = Buffer.from(view);
          const parts = [bytes.subarray(offset, offset + storedBytes)];
          const pending = await writer.append({ kind: frameKind, id, plainBytes, storedBytes, parts });
          copied.push({ id, kind: frameKind, from: pack.ends.get(slot) ?? { packId: pack.packId, slot }, pending });
        }
        this.moved.push(pack);
      }
      await writer.finish();
    } catch (error) {
      await writer.abandon();
      throw error;
    }
    this.newPacks += writer.written.packs;
    return copied;
  }

  /** The whole pack. Its name is the hash of its bytes, which proves every frame in it without a key. */
  async #readProved({ packId, kind }: SparsePack): Promise<Buffer | undefined> {
    const { repository, signal } = this.#options;
    const { store, domain, configuration } = repository;
    try {
      const bytes = await store.get(packKey({ domain, kind, packId }), { signal });
      if (objectHash(configuration.hash, bytes).toString('hex') === packId) return bytes;
    } catch (error) {
      if (!hasCode(error, 'object_not_found')) throw error;
    }
    this.damaged.push(packId);
    return undefined;
  }

  /** Whole chunks only, as a backup does: nobody looks for a patch by its id. */
  async #publish(moves: readonly (Move & { readonly frame: Copied })[]): Promise<void> {
    const { repository, session, signal } = this.#options;
    const index = new SessionIndex({
      store: repository.store,
      prefix: indexPrefix(repository.domain),
      spillPrefix: sessionSpillPrefix(session.id),
      clock: repository.clock,
      signal,
    });
    for (const { to, frame } of moves) {
      if (frame.kind !== 'data') continue;
      index.sealPack(frame.pending.packOrdinal, to.packId);
      index.add({ id: frame.id, ...frame.pending });
    }
    await index.publish({ signal });
  }
}

/** Neighbours whose live bytes are together about `roundBytes`. */
function* rounds(packs: readonly SparsePack[], roundBytes: number): Generator<readonly SparsePack[]> {
  let round: SparsePack[] = [];
  let bytes = 0;
  for (const pack of packs) {
    round.push(pack);
    bytes += pack.liveBytes;
    if (bytes < roundBytes) continue;
    yield round;
    round = [];
    bytes = 0;
  }
  if (round.length > 0) yield round;
}

function frameBytesOf(packs: readonly SparsePack[]): number {
  return packs.reduce((sum, { frameBytes }) => sum + frameBytes, 0);
}

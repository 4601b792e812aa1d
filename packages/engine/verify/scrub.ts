/**
 * Reads packs whole, least recently verified first, and keeps what came of it: quarantine for what is bad, a record of
 * what is good. Packs in quarantine come first, so that their flags clear as soon as they may.
 */
import { availableParallelism } from 'node:os';
import { BufferSlots, hasCode, runLanes } from '@holdfast/base';
import { maximumChunkBytes } from '../chunk/geometry.ts';
import { decodeSlack } from '../codec/chunk-codec.ts';
import { putQuarantine, type BadSlots, type Quarantine } from '../pack/quarantine.ts';
import type { PackKind } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { frameLanes, scrubPack } from './scrub-pack.ts';
import { ScrubRecords } from './scrub-records.ts';

/** Each lane holds one pack (32 or 64 MiB); decompression inside a pack uses the pool. */
const scrubLanes = Math.min(4, availableParallelism() + 1);

export type ListedPack = { readonly packId: string; readonly kind: PackKind; readonly sizeBytes: number };

export type ScrubOutcome = {
  readonly checkedPacks: number;
  readonly checkedBytes: number;
  /** Not read, because they were found good within the age asked for. */
  readonly youngPacks: number;
  /** Not read, because time was up. */
  readonly leftPacks: number;
  /** Sentences by pack. */
  readonly problems: ReadonlyMap<string, string>;
  /** Of the packs that were read. */
  readonly badSlots: ReadonlyMap<string, BadSlots>;
  readonly goodPacks: ReadonlySet<string>;
  /** Listed, and gone when they were to be read. */
  readonly vanished: ReadonlySet<string>;
  /** False when the storage refused to keep quarantine and records. */
  readonly isRecorded: boolean;
};

export async function scrub(options: {
  readonly repository: Repository;
  readonly packs: readonly ListedPack[];
  readonly quarantine: Quarantine;
  /** Whether a pack is on the storage at all; records of others are forgotten. */
  readonly isListed: (packId: string) => boolean;
  /** Packs found good more recently are not read. */
  readonly maxAgeMs?: number | undefined;
  /** No pack is begun after this moment of the monotonic clock. */
  readonly deadlineMs?: number | undefined;
  readonly onProgress?: ((progress: { readonly doneBytes: number; readonly totalBytes: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<ScrubOutcome> {
  const { repository, packs, quarantine, maxAgeMs, deadlineMs, signal } = options;
  const { clock } = repository;
  const records = await ScrubRecords.read(repository, signal);
  const ageOf = (packId: string) =>
    quarantine.hasPack(packId) ? undefined : clock.nowMs() - (records.verifiedMs(packId) ?? Number.NEGATIVE_INFINITY);
  const due = packs.filter(({ packId }) => maxAgeMs === undefined || (ageOf(packId) ?? Infinity) > maxAgeMs);
  const order = ({ packId }: ListedPack) => (quarantine.hasPack(packId) ? -1 : (records.verifiedMs(packId) ?? 0));
  const queue = due.toSorted((a, b) => order(a) - order(b));
  const totalBytes = queue.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const memory = {
    packs: new BufferSlots({ slots: scrubLanes, slotBytes: packSlotBytes(repository, queue) }),
    chunks: new BufferSlots({ slots: scrubLanes * frameLanes, slotBytes: maximumChunkBytes + decodeSlack }),
  };
  const problems = new Map<string, string>();
  const badSlots = new Map<string, BadSlots>();
  const goodPacks = new Set<string>();
  const vanished = new Set<string>();
  let checkedPacks = 0;
  let checkedBytes = 0;
  let isRecorded = true;
  const keep = async (put: () => Promise<void>): Promise<void> => {
    try {
      if (isRecorded) await put();
    } catch (error) {
      if (!hasCode(error, 'storage_denied')) throw error;
      isRecorded = false;
    }
  };
  try {
    await runLanes({
      jobs: untilTimeIsUp(queue, () => deadlineMs !== undefined && clock.monotonicMs() >= deadlineMs),
      lanes: scrubLanes,
      signal,
      run: async ({ packId, kind, sizeBytes }) => {
        const verdict = await scrubPack(repository, { packId, kind, memory, signal }).catch((error: unknown) => {
          if (!hasCode(error, 'object_not_found')) throw error;
          return undefined;
        });
        checkedPacks += 1;
        checkedBytes += sizeBytes;
        options.onProgress?.({ doneBytes: checkedBytes, totalBytes });
        if (!verdict) {
          vanished.add(packId);
          return;
        }
        const { problem, badSlots: slots } = verdict;
        if (problem !== undefined) problems.set(packId, problem);
        if (slots === 'all' || slots.size > 0) {
          badSlots.set(packId, slots);
          if (problem === undefined && slots !== 'all') {
            problems.set(packId, `${slots.size} chunks of pack ${packId} are damaged.`);
          }
          if (quarantine.covers(packId, slots)) return;
          await keep(() => putQuarantine({ repository, packId, kind, slots, reason: 'damaged', signal }));
          return;
        }
        goodPacks.add(packId);
        for (const key of quarantine.keysOf(packId)) await keep(() => repository.store.delete(key, { signal }));
        if (problem === undefined) await records.add(packId, signal);
      },
    });
  } catch (error) {
    // What was read of a run that was interrupted is not in vain. Why it ended matters more than a record that failed.
    await records.flush().catch(() => undefined);
    throw error;
  }
  await records.flush(signal);
  await keep(() => records.fold(options.isListed, signal));
  return {
    checkedPacks,
    checkedBytes,
    youngPacks: packs.length - queue.length,
    leftPacks: queue.length - checkedPacks,
    problems,
    badSlots,
    goodPacks,
    vanished,
    isRecorded: isRecorded && records.areKept,
  };
}

/** What a listing claims of a pack may be wrong; this much is sure to be sensible. */
function packSlotBytes({ configuration }: Repository, packs: readonly ListedPack[]): number {
  return packs.reduce(
    (most, { sizeBytes }) => Math.min(configuration.defaults.pack_bytes, Math.max(most, sizeBytes)),
    0,
  );
}

function* untilTimeIsUp<Item>(items: Iterable<Item>, isUp: () => boolean): Generator<Item> {
  for (const item of items) {
    if (isUp()) return;
    yield item;
  }
}

/**
 * Keeps the number of runs logarithmic. Runs fall into size classes a factor of eight apart; eight or more of one class
 * become one of the next. The old ones go only after the merged one is there, so a crash leaves doubles at worst, and
 * two sessions that merge the same runs at once only do the work twice.
 *
 * Bound: one call rewrites at most `budgetEntries` entries (reads them twice, writes them once). A class whose eight
 * smallest runs exceed the budget stays as it is until a caller with a larger budget comes (the keeper's collect).
 */
import { randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '@holdfast/base';
import type { BlobInfo, BlobStore } from '@holdfast/storage';
import { damageFrom, type OnIndexDamage } from './damage.ts';
import { entryBytes } from './entry.ts';
import { droppedPack, type EntrySource, mergeEntries } from './merge-entries.ts';
import { PackTable } from './pack-table.ts';
import { readRunHead } from './run-head.ts';
import { packRecordBytes } from './run-layout.ts';
import { isRunName, runName } from './run-name.ts';
import { scanEntries, scanPacks } from './run-scan.ts';
import { putRun } from './run-writer.ts';
import { shardBitsFor } from './shard.ts';

/** 192 MiB of entries: the most that one backup's publish rewrites. */
export const defaultMergeBudgetEntries = 4 * 1024 * 1024;

const runsPerClass = 8;
const runsPerMergeAtMost = 64;
/** Entries of the smallest class; below, merging is so cheap that classes do not pay. */
const smallestClassEntries = 4096;

export type MergeRunsRequest = {
  readonly store: BlobStore;
  readonly prefix: string;
  readonly budgetEntries?: number;
  /** Hex ids of packs whose entries are left out. */
  readonly excludedPacks?: ReadonlySet<string>;
  readonly clock?: Clock;
  readonly onDamage?: OnIndexDamage;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Merges until no class is full or the budget is spent.
 * @returns how many runs were replaced
 * @throws storage errors and the abort reason; every run is then still there, as it was or merged
 */
export async function mergeRuns(request: MergeRunsRequest): Promise<number> {
  let budget = request.budgetEntries ?? defaultMergeBudgetEntries;
  let replaced = 0;
  const skipped = new Set<string>();
  while (budget > 0) {
    const runs = await Array.fromAsync(request.store.list(request.prefix, { signal: request.signal }));
    const batch = fullClass({ request, budget, runs: runs.filter(({ key }) => !skipped.has(key)) });
    if (batch === undefined) break;
    const merged = await rewriteRuns(request, batch);
    for (const { key } of batch) if (!merged.has(key)) skipped.add(key);
    for (const key of merged) await request.store.delete(key, { signal: request.signal });
    replaced += merged.size;
    budget -= batch.reduce((sum, run) => sum + entriesOf(run), 0);
  }
  return replaced;
}

/** The smallest runs of the first class that holds enough of them within the budget. */
function fullClass(state: {
  readonly request: MergeRunsRequest;
  readonly budget: number;
  readonly runs: readonly BlobInfo[];
}): readonly BlobInfo[] | undefined {
  const classes = new Map<number, BlobInfo[]>();
  for (const run of state.runs) {
    if (!isRunName(run.key.slice(state.request.prefix.length))) continue;
    const level = Math.max(0, Math.floor(Math.log2(entriesOf(run) / smallestClassEntries) / 3));
    classes.set(level, [...(classes.get(level) ?? []), run]);
  }
  for (const level of [...classes.keys()].sort((left, right) => left - right)) {
    let entries = 0;
    const batch = classes
      .get(level)!
      .sort((left, right) => left.sizeBytes - right.sizeBytes)
      .slice(0, runsPerMergeAtMost)
      .filter((run) => (entries += entriesOf(run)) <= state.budget);
    if (batch.length >= runsPerClass) return batch;
  }
  return undefined;
}

/**
 * Puts one run with the entries of these, but for those of excluded packs. Answers the keys that it replaces, for the
 * caller to delete: those of `batch` without the ones that could not be opened; none when it would only be a copy.
 */
export async function rewriteRuns(request: MergeRunsRequest, batch: readonly BlobInfo[]): Promise<ReadonlySet<string>> {
  const { store, signal, clock = systemClock } = request;
  const onDamage = request.onDamage ?? (() => undefined);
  const packs = new PackTable();
  const ordinals = new Map<string, number>();
  const sources: EntrySource[] = [];
  const merged = new Set<string>();
  let entryCount = 0;
  // By name, which is by age: of two entries of the same age the later run's stays.
  for (const { key, sizeBytes } of batch.toSorted((left, right) => (left.key < right.key ? -1 : 1))) {
    try {
      const { layout } = await readRunHead({ store, key, sizeBytes, signal });
      const scan = { store, key, layout, onDamage, signal };
      const packMap = new Uint32Array(layout.packCount).fill(droppedPack);
      for await (const { first, records } of scanPacks(scan)) {
        for (let at = 0; at < records.length; at += packRecordBytes) {
          const packId = records.toString('hex', at, at + 32);
          if (request.excludedPacks?.has(packId)) continue;
          const ordinal = ordinals.get(packId) ?? packs.add(packId, records.readUIntLE(at + 32, 6));
          ordinals.set(packId, ordinal);
          packMap[first + at / packRecordBytes] = ordinal;
        }
      }
      sources.push({ packMap, open: () => scanEntries(scan) });
      entryCount += layout.entryCount;
      merged.add(key);
    } catch (error) {
      signal?.throwIfAborted();
      onDamage(damageFrom(key, error));
    }
  }
  if (merged.size === 0 || (batch.length > 1 && merged.size === 1)) return new Set();
  const nonce = randomBytes(16);
  const shards = mergeEntries({ sources, packs: packs.records, shardBits: shardBitsFor(entryCount) });
  await putRun({ store, key: request.prefix + runName({ clock, nonce }), nonce, shards, packs: packs.records, signal });
  return merged;
}

/** From the listing alone, a few per cent too high. */
export function entriesOf(run: BlobInfo): number {
  return run.sizeBytes / entryBytes;
}

/**
 * What the running backup itself has appended. Nobody else sees it before its restore point commits and `publish` puts
 * it as one run. Life: add/lookup/sealPack in any order, then exactly one of `publish` and `discard`.
 *
 * Memory: a table that is filled, one that is being spilled, and the cache over what was spilled, each a third of the
 * budget. A lookup waits while a second table would have to wait for the storage, which holds the backup back instead
 * of its memory growing.
 */
import { randomBytes } from 'node:crypto';
import { type Clock, MiB, systemClock } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { BlockCache } from './block-cache.ts';
import { damageFrom, type OnIndexDamage } from './damage.ts';
import type { IndexEntry } from './entry.ts';
import { type EntrySource, mergeEntries } from './merge-entries.ts';
import { mergeRuns } from './merge-runs.ts';
import { PackTable } from './pack-table.ts';
import { readRunHead } from './run-head.ts';
import { runName } from './run-name.ts';
import { RunReader } from './run-reader.ts';
import { scanEntries } from './run-scan.ts';
import { putRun } from './run-writer.ts';
import { SealedPacks } from './sealed-packs.ts';
import { SessionTable } from './session-table.ts';
import { shardBitsFor } from './shard.ts';

/** A location in a pack that may not have its id yet. Ordinals are the session's own, dense from 0. */
export type SessionLocation = {
  readonly packOrdinal: number;
  readonly slot: number;
  readonly offset: number;
  readonly storedBytes: number;
};

export type SessionIndexOptions = {
  readonly store: BlobStore;
  /** Where runs are published: `d/<domain>/idx/`. */
  readonly prefix: string;
  /** Begins the keys of spilled segments (a number is appended); no other session reads or writes there. */
  readonly spillPrefix: string;
  readonly memoryBudgetBytes?: number;
  readonly clock?: Clock;
  readonly onDamage?: OnIndexDamage;
  /** Ends the session's own reads and spills. */
  readonly signal?: AbortSignal | undefined;
};

/** Sorting a table stops everything else; this many take 0.2 s on a busy machine. */
const tableEntriesAtMost = 512 * 1024;

type Spilled = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly entryCount: number;
  readonly run: RunReader;
};

export class SessionIndex {
  readonly #options: SessionIndexOptions;
  readonly #clock: Clock;
  readonly #onDamage: OnIndexDamage;
  readonly #tableBytes: number;
  readonly #cache: BlockCache;
  readonly #packs = new SealedPacks();
  #table = new SessionTable();
  /** Full tables on their way to the storage, oldest first. */
  #full: SessionTable[] = [];
  #spilled: Spilled[] = [];
  #spillCount = 0;
  #spilling: Promise<void> = Promise.resolve();

  constructor(options: SessionIndexOptions) {
    const third = Math.floor((options.memoryBudgetBytes ?? 48 * MiB) / 3);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#onDamage = options.onDamage ?? (() => undefined);
    this.#tableBytes = third;
    this.#cache = new BlockCache({ budgetBytes: third });
  }

  /** Tables and cache. Above the budget only while adds go on without lookups and the storage does not follow. */
  get memoryBytes(): number {
    return this.#full.reduce((sum, table) => sum + table.bytes, this.#table.bytes + this.#cache.usedBytes);
  }

  /** Keeps no reference to `id`. */
  add(entry: SessionLocation & { readonly id: Buffer }): void {
    const { id, packOrdinal: pack, slot, offset, storedBytes } = entry;
    this.#table.add(id, { pack, slot, offset, storedBytes });
    if (this.#table.bytes >= this.#tableBytes || this.#table.count >= tableEntriesAtMost) this.#spillTable();
  }

  /** At once as long as nothing was spilled. Throws only the abort reason. */
  lookup(id: Buffer): SessionLocation | undefined | Promise<SessionLocation | undefined> {
    const here = this.#table.find(id);
    if (here !== undefined) return locationOf(here);
    return this.#full.length === 0 && this.#spilled.length === 0 ? undefined : this.#lookupFurther(id);
  }

  /** The pack now has its id: 64 hex digits. Entries of packs that are never sealed are not published. */
  sealPack(packOrdinal: number, packId: string): void {
    this.#packs.seal(packOrdinal, packId);
  }

  /**
   * After the restore point committed: puts one run, removes what was spilled, merges small runs (merge-runs.ts; its
   * failure is reported, not thrown). A crash or abort anywhere leaves doubles or spilled objects, never a wrong entry.
   * @throws storage errors of putting the run, and the abort reason
   */
  async publish(request: {
    /** What merging may rewrite; 0: do not merge (a writer without the right to delete). */
    readonly mergeBudgetEntries?: number;
    readonly excludedPacks?: ReadonlySet<string>;
    readonly signal?: AbortSignal | undefined;
  }): Promise<{ readonly entryCount: number }> {
    const { store, prefix } = this.#options;
    const { signal } = request;
    await this.#spilling;
    signal?.throwIfAborted();
    const packs = new PackTable();
    const packMap = this.#packs.addTo(packs, this.#clock.nowMs());
    const sources = await this.#sources(packMap, signal);
    const entryCount = this.#spilled.reduce((sum, segment) => sum + segment.entryCount, this.#table.count);
    const nonce = randomBytes(16);
    const key = prefix + runName({ clock: this.#clock, nonce });
    const shards = mergeEntries({ sources, packs: packs.records, shardBits: shardBitsFor(entryCount) });
    const run = await putRun({ store, key, nonce, shards, packs: packs.records, signal });
    this.#table = new SessionTable();
    try {
      await this.#removeSpilled(signal);
      const { mergeBudgetEntries: budgetEntries, excludedPacks } = request;
      await mergeRuns({
        store,
        prefix,
        ...(budgetEntries !== undefined && { budgetEntries }),
        ...(excludedPacks !== undefined && { excludedPacks }),
        clock: this.#clock,
        onDamage: this.#onDamage,
        signal,
      });
    } catch (error) {
      signal?.throwIfAborted();
      this.#onDamage(damageFrom(prefix, error));
    }
    return { entryCount: run?.entryCount ?? 0 };
  }

  /** The session failed or was given up: removes what was spilled. @throws storage errors and the abort reason */
  async discard(request: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    await this.#spilling;
    this.#table = new SessionTable();
    await this.#removeSpilled(request.signal);
  }

  async #lookupFurther(id: Buffer): Promise<SessionLocation | undefined> {
    if (this.#full.length > 1) await this.#spilling;
    for (const table of this.#full) {
      const entry = table.find(id);
      if (entry !== undefined) return locationOf(entry);
    }
    const runs = this.#spilled.filter(({ run }) => !run.excludes(id));
    const found = await Promise.all(runs.map(({ run }) => run.find(id)));
    const entry = found.findLast((candidate) => candidate !== undefined);
    return entry && locationOf(entry);
  }

  #spillTable(): void {
    const table = this.#table;
    this.#table = new SessionTable();
    this.#full.push(table);
    this.#spilling = this.#spilling.then(() => this.#spill(table));
  }

  /** Never rejects. A table that cannot be put is forgotten: its chunks may be uploaded twice, memory stays bounded. */
  async #spill(table: SessionTable): Promise<void> {
    const { store, spillPrefix, signal } = this.#options;
    const key = `${spillPrefix}${this.#spillCount}`;
    this.#spillCount += 1;
    try {
      const shards = mergeEntries({
        sources: [{ open: () => table.sorted() }],
        shardBits: shardBitsFor(table.count),
      });
      const put = await putRun({ store, key, nonce: randomBytes(16), shards, packs: Buffer.alloc(0), signal });
      if (put === undefined) return;
      const { sizeBytes, entryCount } = put;
      const run = new RunReader({ store, key, sizeBytes, cache: this.#cache, onDamage: this.#onDamage, signal });
      this.#spilled.push({ key, sizeBytes, entryCount, run });
    } catch (error) {
      if (!signal?.aborted) this.#onDamage(damageFrom(key, error));
    } finally {
      this.#full = this.#full.filter((other) => other !== table);
    }
  }

  /** Spilled segments first: of two entries of one id the later source's stays. */
  async #sources(packMap: Uint32Array, signal: AbortSignal | undefined): Promise<readonly EntrySource[]> {
    const { store } = this.#options;
    const sources: EntrySource[] = [];
    for (const { key, sizeBytes } of this.#spilled) {
      try {
        const { layout } = await readRunHead({ store, key, sizeBytes, signal });
        const scan = { store, key, layout, onDamage: this.#onDamage, signal };
        sources.push({ packMap, open: () => scanEntries(scan) });
      } catch (error) {
        signal?.throwIfAborted();
        this.#onDamage(damageFrom(key, error));
      }
    }
    const table = this.#table;
    return [...sources, { packMap, open: () => table.sorted() }];
  }

  async #removeSpilled(signal: AbortSignal | undefined): Promise<void> {
    this.#spilled = [];
    // Those that failed too: their put may have arrived all the same.
    for (; this.#spillCount > 0; this.#spillCount -= 1) {
      await this.#options.store.delete(`${this.#options.spillPrefix}${this.#spillCount - 1}`, { signal });
    }
  }
}

function locationOf({ pack, slot, offset, storedBytes }: IndexEntry): SessionLocation {
  return { packOrdinal: pack, slot, offset, storedBytes };
}

/**
 * The dedup index of one domain as a backup reads it: all visible runs, newest location first, within a fixed memory
 * budget. A hit may be trusted as far as a location is ever trusted (the commit check knows condemned packs); an
 * "absent" may be wrong and costs an upload.
 */
import { MiB } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { BlockCache } from './block-cache.ts';
import type { ChunkLocation } from './chunk-location.ts';
import { damageFrom, type OnIndexDamage } from './damage.ts';
import { isRunName } from './run-name.ts';
import { RunReader } from './run-reader.ts';

export type OpenChunkIndexRequest = {
  readonly store: BlobStore;
  /** Begins the keys of the runs, the last slash included: `d/<domain>/idx/`. */
  readonly prefix: string;
  /** For everything read from runs; 64 MiB hold all filters of 50 million entries. */
  readonly memoryBudgetBytes?: number;
  /** Hex ids of condemned packs: locations in them count as absent. */
  readonly excludedPacks?: ReadonlySet<string>;
  /** Told of every part that could not be used; must not throw. */
  readonly onDamage?: OnIndexDamage;
  readonly signal?: AbortSignal | undefined;
};

/** One list; runs are read when a lookup needs them. Throws only the abort reason. */
export async function openChunkIndex(request: OpenChunkIndexRequest): Promise<ChunkIndex> {
  const index = new ChunkIndex(request);
  await index.refresh();
  return index;
}

/** How often one lookup starts again because other sessions merged runs under it. */
const refreshesPerLookup = 3;

export class ChunkIndex {
  readonly #request: OpenChunkIndexRequest;
  readonly #onDamage: OnIndexDamage;
  readonly #cache: BlockCache;
  #runs: readonly RunReader[] = [];
  #refreshing: Promise<void> | undefined;

  /** Use `openChunkIndex`. */
  constructor(request: OpenChunkIndexRequest) {
    this.#request = request;
    this.#onDamage = request.onDamage ?? (() => undefined);
    this.#cache = new BlockCache({ budgetBytes: request.memoryBudgetBytes ?? 64 * MiB });
  }

  get runCount(): number {
    return this.#runs.length;
  }

  /** Never above the budget. */
  get cachedBytes(): number {
    return this.#cache.usedBytes;
  }

  /** The newest usable location of the chunk `id` (32 bytes, not kept). Any number of calls may run at once. */
  lookup(id: Buffer): Promise<ChunkLocation | undefined> {
    const maybes = this.#runs.filter((run) => !run.excludes(id));
    return maybes.length === 0 ? Promise.resolve(undefined) : this.#search(id, maybes, refreshesPerLookup);
  }

  /** Lists again: runs that are gone are forgotten, new ones are seen from now on. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#list().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #search(id: Buffer, runs: readonly RunReader[], refreshesLeft: number): Promise<ChunkLocation | undefined> {
    const found = await Promise.all(runs.map((run) => this.#locate(run, id)));
    let newest: AgedLocation | undefined;
    for (const candidate of found) {
      if (candidate !== undefined && (newest === undefined || candidate.publishedMs >= newest.publishedMs)) {
        newest = candidate;
      }
    }
    if (newest !== undefined) return newest.location;
    // Another session merged a run away while it was open here: its entries are in a run not seen yet.
    if (refreshesLeft === 0 || !runs.some((run) => run.gone)) return undefined;
    if (this.#runs.some((run) => run.gone)) await this.refresh();
    const again = this.#runs.filter((run) => !run.excludes(id));
    return this.#search(id, again, refreshesLeft - 1);
  }

  async #locate(run: RunReader, id: Buffer): Promise<AgedLocation | undefined> {
    const entry = await run.find(id);
    if (entry === undefined) return undefined;
    const pack = await run.pack(entry.pack);
    if (pack === undefined || this.#request.excludedPacks?.has(pack.packId)) return undefined;
    const { slot, offset, storedBytes } = entry;
    return { publishedMs: pack.publishedMs, location: { packId: pack.packId, slot, offset, storedBytes } };
  }

  async #list(): Promise<void> {
    const { store, prefix, signal } = this.#request;
    const known = new Map(this.#runs.filter((run) => !run.gone).map((run) => [run.key, run]));
    const runs: RunReader[] = [];
    try {
      for await (const { key, sizeBytes } of store.list(prefix, { signal })) {
        if (!isRunName(key.slice(prefix.length))) continue;
        const open = { store, key, sizeBytes, cache: this.#cache, onDamage: this.#onDamage, signal };
        runs.push(known.get(key) ?? new RunReader(open));
      }
      this.#runs = runs;
    } catch (error) {
      signal?.throwIfAborted();
      this.#onDamage(damageFrom(prefix, error));
      this.#runs = [...known.values()];
    }
  }
}

type AgedLocation = { readonly location: ChunkLocation; readonly publishedMs: number };

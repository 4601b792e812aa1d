/**
 * `scrub/<utc>-<random>`: which packs were read whole and found good, and when; what "least recently verified first" goes
 * by. Only for comfort: a record that is lost or damaged means that its packs are read again. A JSON document:
 *
 *   version 1, runs: [{verified_at, packs}]
 */
import { randomBytes } from 'node:crypto';
import { hasCode } from '@holdfast/base';
import { z } from 'zod';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { scrubKey, scrubPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

const recordSchema = z.strictObject({
  version: z.literal(1),
  runs: z.array(z.strictObject({ verified_at: z.iso.datetime(), packs: z.array(z.string()) })),
});

/** More objects than this are folded into one. */
const unfoldedRecords = 16;
/** Good packs between two records: what a killed run loses is at most this much reading. */
const packsPerRecord = 256;

export class ScrubRecords {
  readonly #repository: Repository;
  readonly #keys: readonly string[];
  /** When each pack was found good last. */
  readonly #verifiedMs: Map<string, number>;
  #unwritten: string[] = [];
  #denied = false;

  private constructor(repository: Repository, keys: readonly string[], verifiedMs: Map<string, number>) {
    this.#repository = repository;
    this.#keys = keys;
    this.#verifiedMs = verifiedMs;
  }

  /** @throws storage errors */
  static async read(repository: Repository, signal?: AbortSignal): Promise<ScrubRecords> {
    const { store, domain, clock } = repository;
    const keys: string[] = [];
    const verifiedMs = new Map<string, number>();
    for await (const { key } of store.list(scrubPrefix(domain), { signal })) {
      keys.push(key);
      for (const { verified_at: at, packs } of await readRuns(repository, key, signal)) {
        const atMs = Date.parse(at);
        // A clock that was ahead must not keep packs from being read for long.
        if (atMs > clock.nowMs()) continue;
        for (const packId of packs) verifiedMs.set(packId, Math.max(atMs, verifiedMs.get(packId) ?? 0));
      }
    }
    return new ScrubRecords(repository, keys, verifiedMs);
  }

  /** False once the storage refused a record: nothing is remembered then. */
  get areKept(): boolean {
    return !this.#denied;
  }

  /** Milliseconds since 1970; undefined: never, as far as known. */
  verifiedMs(packId: string): number | undefined {
    return this.#verifiedMs.get(packId);
  }

  /** @throws storage errors other than a refusal */
  async add(packId: string, signal?: AbortSignal): Promise<void> {
    this.#verifiedMs.set(packId, this.#repository.clock.nowMs());
    this.#unwritten.push(packId);
    if (this.#unwritten.length >= packsPerRecord) await this.flush(signal);
  }

  /** Writes what was added since. @throws storage errors other than a refusal */
  async flush(signal?: AbortSignal): Promise<void> {
    const packs = this.#unwritten;
    this.#unwritten = [];
    if (packs.length === 0 || this.#denied) return;
    const verified_at = new Date(this.#repository.clock.nowMs()).toISOString();
    await this.#put([{ verified_at, packs }], signal);
  }

  /** Many small records become one, without packs that are gone. @throws storage errors other than a refusal */
  async fold(isThere: (packId: string) => boolean, signal?: AbortSignal): Promise<void> {
    if (this.#keys.length < unfoldedRecords || this.#denied) return;
    const known = [...this.#verifiedMs].filter(([packId]) => isThere(packId));
    const runs = [...Map.groupBy(known, ([, atMs]) => atMs)].map(([atMs, packs]) => ({
      verified_at: new Date(atMs).toISOString(),
      packs: packs.map(([packId]) => packId),
    }));
    await this.#put(runs, signal);
    if (this.#denied) return;
    for (const key of this.#keys) await this.#repository.store.delete(key, { signal });
  }

  async #put(runs: z.input<typeof recordSchema>['runs'], signal: AbortSignal | undefined): Promise<void> {
    const { store, domain, clock } = this.#repository;
    const key = scrubKey({ domain, atMs: clock.nowMs(), random: randomBytes(8).toString('hex') });
    try {
      await store.put(key, { buffers: [encodeDocument({ version: 1, runs })] }, { ifAbsent: true, signal });
    } catch (error) {
      if (!hasCode(error, 'storage_denied')) throw error;
      this.#denied = true;
    }
  }
}

async function readRuns(
  repository: Repository,
  key: string,
  signal: AbortSignal | undefined,
): Promise<z.output<typeof recordSchema>['runs']> {
  try {
    return decodeDocument(key, await repository.store.get(key, { signal }), recordSchema).runs;
  } catch (error) {
    if (!hasCode(error, 'object_not_found', 'repository_damaged')) throw error;
    return [];
  }
}

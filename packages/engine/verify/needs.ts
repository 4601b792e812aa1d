/**
 * Which packs points need, and which of it can be had, by tables and forwardings alone. Points share most of their table
 * pages, so each page is read once, and what a point needs is told by its pages.
 */
import { hasCode, runLanes } from '@holdfast/base';
import { usesInPage } from '../collect/page-digest.ts';
import { PageDigestReader } from '../collect/page-digest-reader.ts';
import type { PackCensus } from '../collect/pack-census.ts';
import { RecordLog } from '../collect/record-log.ts';
import type { RestorePoint } from '../manifest/points.ts';
import type { Forwardings, SlotPlace } from '../pack/forwardings.ts';
import type { FrameReference } from '../pack/frame-reader.ts';
import type { PackKind } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

/** Pages have up to 70 KiB: this many at once hide a network storage's latency. */
const pageLanes = 16;

export type PointNeed = {
  readonly point: RestorePoint;
  /** Ordinals of the census; some may be named more than once. */
  readonly packs: Iterable<number>;
  /** Set when the pack table cannot be read. */
  readonly problem: string | undefined;
};

export type Needs = {
  readonly points: readonly PointNeed[];
  /** All that some point needs, and where that was forwarded to, by the census's ordinals. */
  readonly packs: ReadonlySet<number>;
};

/** Whether a frame is at its place, or at one that it was forwarded to, as far as the forwardings can be read. */
export async function isSomewhere(
  forwardings: Forwardings,
  { place, isHere }: { readonly place: SlotPlace; readonly isHere: (place: SlotPlace) => boolean },
): Promise<boolean> {
  if (isHere(place)) return true;
  try {
    for await (const next of forwardings.chain(place)) if (isHere(next)) return true;
  } catch (error) {
    if (!hasCode(error, 'repository_damaged')) throw error;
  }
  return false;
}

export type NeedsRequest = {
  readonly repository: Repository;
  readonly points: readonly RestorePoint[];
  readonly forwardings: Forwardings;
  /** Packs that are needed and were not listed join it. */
  readonly census: PackCensus;
  /** Pages that were read before, which are not read again. */
  readonly cache?:
    | {
        readonly directory: string;
        /** Whether a page may be known from the cache; one that may be lost is read. */
        readonly isTrusted: (place: SlotPlace) => boolean;
      }
    | undefined;
  readonly signal: AbortSignal | undefined;
};

/** What each point needs. @throws storage errors */
export async function collectNeeds(request: NeedsRequest): Promise<Needs> {
  return await new Collecting(request, new Set(await request.forwardings.packs())).run();
}

type Page = { readonly reference: FrameReference; packs: Uint32Array; problem: string | undefined };

class Collecting {
  readonly #request: NeedsRequest;
  readonly #forwarded: ReadonlySet<string>;
  readonly #pages = new Map<string, Page>();
  readonly #needed = new Set<number>();

  constructor(request: NeedsRequest, forwarded: ReadonlySet<string>) {
    this.#request = request;
    this.#forwarded = forwarded;
  }

  async run(): Promise<Needs> {
    const { points, cache } = this.#request;
    for (const { manifest } of points) {
      for (const reference of manifest.table.pages) {
        if (reference.kind !== 'data') continue;
        const key = keyOf(reference);
        if (!this.#pages.has(key)) {
          const { id, location } = reference;
          this.#pages.set(key, { reference: { id, location }, packs: new Uint32Array(), problem: undefined });
        }
      }
    }
    if (cache) await this.#readThroughCache(cache);
    else await this.#read(this.#pages.values(), () => Promise.resolve());
    const needs: PointNeed[] = [];
    for (const point of points) needs.push(await this.#needOf(point));
    return { points: needs, packs: this.#needed };
  }

  async #readThroughCache({ directory, isTrusted }: NonNullable<NeedsRequest['cache']>): Promise<void> {
    const log = await RecordLog.open(directory);
    const missing = new Map(this.#pages);
    const byName = Map.groupBy(missing, ([, { reference }]) => nameOf(reference));
    for await (const { name, content } of log.scan()) {
      for (const [key, page] of byName.get(name) ?? []) {
        if (!isTrusted(page.reference.location)) continue;
        await this.#note(page, content);
        missing.delete(key);
      }
    }
    await this.#read(missing.values(), async (page, digest) => await log.add(nameOf(page.reference), digest));
    await log.close(() => true);
  }

  async #read(pages: Iterable<Page>, keep: (page: Page, digest: Buffer) => Promise<void>): Promise<void> {
    const { repository, signal } = this.#request;
    const reader = new PageDigestReader({ repository, atOnce: pageLanes });
    await runLanes({
      jobs: pages,
      lanes: pageLanes,
      signal,
      run: async (page) => {
        const { reference } = page;
        try {
          const digest = await reader.read(reference, signal);
          await this.#note(page, digest);
          await keep(page, digest);
        } catch (error) {
          if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
          page.problem = `pack table: ${error.message}`;
        }
      },
    });
  }

  async #note(page: Page, digest: Buffer): Promise<void> {
    const packs: number[] = [];
    for (const { packId, slots } of usesInPage(digest)) {
      packs.push(this.#need(packId));
      if (this.#forwarded.has(packId)) await this.#addMoved(packId, slots());
    }
    page.packs = Uint32Array.from(packs);
  }

  async #needOf(point: RestorePoint): Promise<PointNeed> {
    const { manifest } = point;
    const references = manifest.table.pages.filter((reference) => reference.kind === 'data');
    const pages = references.map((reference) => this.#pages.get(keyOf(reference))!);
    const guest = manifest.guest_configuration ? [manifest.guest_configuration] : [];
    const direct = new Set<number>();
    for (const { location } of [...manifest.roots, ...guest, ...references]) {
      direct.add(this.#need(location.packId, 'meta'));
      if (this.#forwarded.has(location.packId)) await this.#addMoved(location.packId, [location.slot]);
    }
    const packs = {
      *[Symbol.iterator]() {
        yield* direct;
        for (const page of pages) yield* page.packs;
      },
    };
    return { point, packs, problem: pages.find(({ problem }) => problem !== undefined)?.problem };
  }

  /** A forwarding that cannot be read matters only for what is not where its map says; `isSomewhere` says so then. */
  async #addMoved(packId: string, slots: Iterable<number>): Promise<void> {
    try {
      for (const slot of slots) {
        for await (const place of this.#request.forwardings.chain({ packId, slot })) this.#need(place.packId);
      }
    } catch (error) {
      if (!hasCode(error, 'repository_damaged')) throw error;
    }
  }

  /** @param kind of one that is not there; what a table names may be of either, and it does not matter */
  #need(packId: string, kind: PackKind = 'data'): number {
    const ordinal = this.#request.census.add({ packId, kind, sizeBytes: undefined });
    this.#needed.add(ordinal);
    return ordinal;
  }
}

function nameOf({ id }: FrameReference): string {
  return id.toString('latin1');
}

function keyOf(reference: FrameReference): string {
  return `${nameOf(reference)}${reference.location.packId}${reference.location.slot}`;
}

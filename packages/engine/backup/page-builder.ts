/**
 * Builds the map of one disk while its chunks arrive out of order. A page is written once all its entries are known and
 * their packs sealed (a pack has no id before); a page equal to the parent's is the parent's. Keeps the pack table's
 * changes in step.
 */
import { HoldfastError } from '@holdfast/base';
import { chunksPerPage, type Geometry } from '../chunk/geometry.ts';
import type { MapReader } from '../map/map-reader.ts';
import { encodeReferences, locationsOf, type Reference, sameContent, zeroReference } from '../map/reference-list.ts';
import type { PendingLocation } from '../pack/pack-writer.ts';
import type { ChunkPlace, UploadSession } from './upload-session.ts';

/** An entry while its pack may still be open. */
export type OpenEntry = Reference | { readonly kind: 'stored'; readonly id: Buffer; readonly place: ChunkPlace };

export type OpenPage = {
  readonly page: number;
  /** The parent's entries; empty without a parent. */
  readonly before: readonly Reference[];
  /** Entries of `before`, by their index, that lead into quarantine: the content is stored anew. */
  readonly distrusted: ReadonlySet<number>;
  readonly entries: OpenEntry[];
  /** Entries not known yet; the page is complete at 0. */
  missing: number;
};

/** What an earlier point says of the place, if it may be built on. */
export function trustedBefore({ before, distrusted }: OpenPage, index: number): Reference | undefined {
  return distrusted.has(index) ? undefined : before[index];
}

/** Indexes of the entries that lead into quarantine. */
async function distrustedIn(upload: UploadSession, entries: readonly Reference[]): Promise<ReadonlySet<number>> {
  const distrusted = new Set<number>();
  for (const [index, entry] of entries.entries()) if (!(await upload.known.trusts(entry))) distrusted.add(index);
  return distrusted;
}

/** Chunks of a map that lead into quarantine: an increment has to read them again. @throws as `MapReader.page` */
export async function distrustedChunks(upload: UploadSession, map: MapReader, signal?: AbortSignal): Promise<number[]> {
  const chunks: number[] = [];
  for (let page = 0; page < map.geometry.pageCount; page += 1) {
    for (const index of await distrustedIn(upload, await map.page(page, signal))) {
      chunks.push(page * chunksPerPage + index);
    }
  }
  return chunks;
}

export class PageBuilder {
  readonly #upload: UploadSession;
  readonly #geometry: Geometry;
  readonly #parent: MapReader | undefined;
  readonly #isTrusted: boolean;
  readonly #pages: (Reference | { readonly id: Buffer; readonly pending: PendingLocation } | undefined)[];
  #complete: OpenPage[] = [];

  /**
   * @param options.parent a map of the same chunk size; the disk may have grown or shrunk since
   * @param options.isTrusted nothing of the parent leads into quarantine
   */
  constructor(options: {
    upload: UploadSession;
    geometry: Geometry;
    parent: MapReader | undefined;
    isTrusted: boolean;
  }) {
    this.#upload = options.upload;
    this.#geometry = options.geometry;
    this.#parent = options.parent;
    this.#isTrusted = options.isTrusted;
    this.#pages = new Array(options.geometry.pageCount);
  }

  /** The parent's page as it is. */
  keepPage(page: number): void {
    this.#pages[page] = this.#parent!.pageReference(page);
  }

  /** A page with no entry known. Entries of the parent come with it. */
  async openPage(page: number, signal?: AbortSignal): Promise<OpenPage> {
    const count = Math.min(chunksPerPage, this.#geometry.chunkCount - page * chunksPerPage);
    const before = this.#parent && page < this.#parent.geometry.pageCount ? await this.#parent.page(page, signal) : [];
    const distrusted = this.#isTrusted ? new Set<number>() : await distrustedIn(this.#upload, before);
    return { page, before, distrusted, entries: new Array<OpenEntry>(count), missing: count };
  }

  setEntry(open: OpenPage, index: number, entry: OpenEntry): void {
    open.entries[index] = entry;
    open.missing -= 1;
    if (open.missing === 0) this.#complete.push(open);
  }

  /** Writes the complete pages whose packs are sealed; the others wait. Several calls may run at once. */
  async writeReadyPages(): Promise<void> {
    const waiting: OpenPage[] = [];
    const ready: { open: OpenPage; entries: Reference[] }[] = [];
    for (const open of this.#complete) {
      const entries = this.#resolve(open);
      if (entries) ready.push({ open, entries });
      else waiting.push(open);
    }
    this.#complete = waiting;
    for (const { open, entries } of ready) await this.#writePage(open, entries);
  }

  /** After `sealMeta`: the references of all pages, for the root. `undefined` when all are the parent's. */
  finish(): readonly Reference[] | undefined {
    const parent = this.#parent;
    const unchanged =
      parent &&
      parent.geometry.sizeBytes === this.#geometry.sizeBytes &&
      this.#pages.every((page, index) => page === parent.pageReference(index));
    if (unchanged) return undefined;
    for (let page = this.#pages.length; page < (parent?.geometry.pageCount ?? 0); page += 1) {
      // The disk has shrunk: what lay beyond is not used any more. Entries of these pages were dropped by `dropPage`.
      this.#countPage(parent!.pageReference(page), -1);
    }
    return this.#pages.map((page, index) => {
      if (page === undefined) throw new HoldfastError('internal', `Page ${index} of the map was not built.`);
      if (!('pending' in page)) return page;
      const reference: Reference = { kind: 'data', ...this.#upload.referenceTo(page) };
      this.#countPage(reference, 1);
      return reference;
    });
  }

  /** For pages that the parent has and the disk, having shrunk, has not. */
  async dropPage(page: number, signal?: AbortSignal): Promise<void> {
    for (const entry of await this.#parent!.page(page, signal)) this.#countEntry(entry, -1);
  }

  #resolve(open: OpenPage): Reference[] | undefined {
    const entries: Reference[] = [];
    for (const entry of open.entries) {
      if (entry.kind !== 'stored') {
        entries.push(entry);
        continue;
      }
      const reference = this.#upload.resolve(entry.id, entry.place);
      if (!reference) return undefined;
      entries.push(reference);
    }
    return entries;
  }

  async #writePage(open: OpenPage, entries: Reference[]): Promise<void> {
    const { page, before, distrusted } = open;
    for (let index = 0; index < Math.max(entries.length, before.length); index += 1) {
      const old = before[index];
      const now = entries[index];
      if (old && now && sameContent(old, now) && !distrusted.has(index)) entries[index] = old;
      else {
        if (old) this.#countEntry(old, -1);
        if (now) this.#countEntry(now, 1);
      }
    }
    const parentPage = before.length > 0 ? this.#parent!.pageReference(page) : undefined;
    const unchanged = entries.length === before.length && entries.every((entry, index) => entry === before[index]);
    if (parentPage && unchanged) {
      this.#pages[page] = parentPage;
      return;
    }
    if (parentPage) this.#countPage(parentPage, -1);
    this.#pages[page] = entries.every((entry) => entry.kind === 'zero')
      ? zeroReference
      : await this.#upload.storeMeta('mapPage', encodeReferences(entries));
  }

  #countEntry(entry: Reference, by: 1 | -1): void {
    for (const location of locationsOf(entry)) this.#upload.tableChanges.count('data', location, by);
  }

  #countPage(page: Reference, by: 1 | -1): void {
    if (page.kind === 'data') this.#upload.tableChanges.count('meta', page.location, by);
  }
}

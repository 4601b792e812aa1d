/** Reads a disk's map page by page, keeping the last few pages; memory does not depend on the disk's size. */
import { HoldfastError } from '@holdfast/base';
import { chunksPerPage, type Geometry } from '../chunk/geometry.ts';
import { type FrameReference, readFrame } from '../pack/frame-reader.ts';
import type { Repository } from '../repository/repository.ts';
import { decodeMapRoot, type MapRoot } from './map-root.ts';
import { decodeReferences, type Reference, zeroReference } from './reference-list.ts';

/** A page of 256 entries is about 60 KiB decoded. 64 pages let a random reader stay within 16 GiB of disk. */
const cachedPages = 64;

export class MapReader {
  readonly #repository: Repository;
  readonly #root: MapRoot;
  readonly #pages = new Map<number, Promise<readonly Reference[]>>();

  constructor(repository: Repository, root: MapRoot) {
    this.#repository = repository;
    this.#root = root;
  }

  static async open(
    repository: Repository,
    request: { readonly root: FrameReference; readonly signal?: AbortSignal | undefined },
  ): Promise<MapReader> {
    const bytes = await readFrame(repository, { kind: 'mapRoot', reference: request.root, signal: request.signal });
    return new MapReader(repository, decodeMapRoot(bytes));
  }

  get geometry(): Geometry {
    return this.#root.geometry;
  }

  /** The root's entry of a page: ZERO when all of it is. */
  pageReference(page: number): Reference {
    return this.#root.pages[page] ?? zeroReference;
  }

  /** Entries of a page; the last page of a disk may have fewer than 256. */
  async page(page: number, signal?: AbortSignal): Promise<readonly Reference[]> {
    const cached = this.#pages.get(page);
    if (cached) {
      this.#pages.delete(page);
      this.#pages.set(page, cached);
      return await cached;
    }
    const loading = this.#load(page, signal);
    this.#pages.set(page, loading);
    loading.catch(() => this.#pages.delete(page));
    if (this.#pages.size > cachedPages) this.#pages.delete(this.#pages.keys().next().value!);
    return await loading;
  }

  /** One entry; ZERO past the end of the disk, which is how a grown disk reads from its older, smaller point. */
  async entry(chunk: number, signal?: AbortSignal): Promise<Reference> {
    if (chunk >= this.geometry.chunkCount) return zeroReference;
    const entries = await this.page(Math.floor(chunk / chunksPerPage), signal);
    return entries[chunk % chunksPerPage] ?? zeroReference;
  }

  async #load(page: number, signal: AbortSignal | undefined): Promise<readonly Reference[]> {
    const reference = this.pageReference(page);
    const count = Math.min(chunksPerPage, this.geometry.chunkCount - page * chunksPerPage);
    switch (reference.kind) {
      case 'zero':
        return Array.from({ length: count }, () => zeroReference);
      case 'bad':
        return Array.from({ length: count }, () => reference);
      case 'data': {
        const entries = decodeReferences(await readFrame(this.#repository, { kind: 'mapPage', reference, signal }));
        if (entries.length === count) return entries;
        throw new HoldfastError('repository_damaged', `Map page ${page} has ${entries.length} entries, not ${count}.`);
      }
      case 'split':
        throw new HoldfastError('repository_damaged', `Map page ${page} is recorded as a patch.`);
      default:
        return reference satisfies never;
    }
  }
}

/** What a new point uses more or less than the table it starts from; applied page by page. */
import { HoldfastError } from '@holdfast/base';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { PackKind } from '../repository/layout.ts';
import {
  decodeTablePage,
  encodeTablePage,
  type PackTableRoot,
  type PackUse,
  partitionBitsFor,
  partitionOf,
} from './pack-table.ts';
import { type Reference, zeroReference } from './reference-list.ts';

type PackChange = { readonly kind: PackKind; changes: Int32Array };

export class PackTableChanges {
  readonly #packs = new Map<string, PackChange>();

  get size(): number {
    return this.#packs.size;
  }

  /** @param by +1 for a new use, -1 for one that is gone */
  count(kind: PackKind, location: ChunkLocation, by: 1 | -1): void {
    let pack = this.#packs.get(location.packId);
    if (!pack) {
      pack = { kind, changes: new Int32Array(64) };
      this.#packs.set(location.packId, pack);
    }
    if (location.slot >= pack.changes.length) {
      const grown = new Int32Array(Math.max(location.slot + 1, pack.changes.length * 2));
      grown.set(pack.changes);
      pack.changes = grown;
    }
    pack.changes[location.slot]! += by;
  }

  /**
   * The table after the changes; pages that did not change keep their reference. Answers a function, to be called once
   * the pages written here have their place for good.
   * @param options.readPage content of a page of `base`
   * @param options.writePage stores a page; what it answers gives the reference once that is known
   */
  async applyTo(options: {
    readonly base: PackTableRoot;
    readonly readPage: (reference: Reference & { kind: 'data' }) => Promise<Buffer>;
    readonly writePage: (content: Buffer) => Promise<() => Reference>;
  }): Promise<() => PackTableRoot> {
    const { base } = options;
    const readPage = async (reference: Reference | undefined): Promise<Map<string, PackUse>> =>
      reference?.kind === 'data' ? decodeTablePage(await options.readPage(reference)) : new Map();
    // An upper bound of the packs afterwards; a page more or less of 128 does not matter.
    const partitionBits = Math.max(base.partitionBits, partitionBitsFor(base.packCount + this.#packs.size));
    const splitBits = partitionBits - base.partitionBits;
    const touched = Map.groupBy(this.#packs, ([packId]) => partitionOf(packId, partitionBits));
    const pages: (() => Reference)[] = [];
    let packCount = base.packCount;
    let source: Map<string, PackUse> = new Map();
    for (let page = 0; page < 2 ** partitionBits; page += 1) {
      const before = base.pages[page >> splitBits];
      const changes = touched.get(page);
      if (splitBits === 0 && !changes) {
        pages.push(() => before!);
        continue;
      }
      if (splitBits === 0 || page % 2 ** splitBits === 0) source = await readPage(before);
      const packs = new Map([...source].filter(([packId]) => partitionOf(packId, partitionBits) === page));
      packCount -= packs.size;
      for (const [packId, change] of changes ?? []) applyTo(packs, packId, change);
      packCount += packs.size;
      pages.push(packs.size === 0 ? () => zeroReference : await options.writePage(encodeTablePage(packs)));
    }
    return () => ({ partitionBits, packCount, pages: pages.map((reference) => reference()) });
  }
}

function applyTo(packs: Map<string, PackUse>, packId: string, change: PackChange): void {
  const before = packs.get(packId)?.uses ?? [];
  const uses: number[] = [];
  for (let slot = 0; slot < Math.max(before.length, change.changes.length); slot += 1) {
    const value = (before[slot] ?? 0) + (change.changes[slot] ?? 0);
    if (value < 0) throw new HoldfastError('internal', `Slot ${slot} of pack ${packId} would be used ${value} times.`);
    uses.push(value);
  }
  while (uses.length > 0 && uses.at(-1) === 0) uses.pop();
  if (uses.length === 0) packs.delete(packId);
  else packs.set(packId, { kind: change.kind, uses });
}

/** Numbers kept for clusters of an image by their place, in pages that exist where something was noted. */

const PAGE_BITS = 15;
const PAGE = 2 ** PAGE_BITS;

/** One bit for each cluster: 2 MiB for 1 TiB of clusters of 64 KiB. */
export class ClusterSet {
  readonly #pages = new Map<number, Uint8Array>();

  /** False when it was in already. */
  add(cluster: number): boolean {
    const number = Math.floor(cluster / PAGE);
    let page = this.#pages.get(number);
    if (!page) this.#pages.set(number, (page = new Uint8Array(PAGE / 8)));
    const at = cluster % PAGE;
    const bit = 1 << (at & 7);
    if (page[at >>> 3]! & bit) return false;
    page[at >>> 3]! |= bit;
    return true;
  }
}

/** Four bytes for each cluster near one that was counted: 64 MiB for 1 TiB, if all of it is compressed. */
export class ClusterCounts {
  readonly #pages = new Map<number, Uint32Array>();

  /** One more, and how many that makes. */
  increment(cluster: number): number {
    const number = Math.floor(cluster / PAGE);
    let page = this.#pages.get(number);
    if (!page) this.#pages.set(number, (page = new Uint32Array(PAGE)));
    return ++page[cluster % PAGE]!;
  }
}

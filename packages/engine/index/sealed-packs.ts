/** Pack ids by the session's pack ordinal, 32 bytes each; a pack has none before it is sealed. */
import { droppedPack } from './merge-entries.ts';
import type { PackTable } from './pack-table.ts';

export class SealedPacks {
  #ids = Buffer.alloc(64 * 32);
  #sealed = new Uint8Array(64);

  /** Ordinals are dense from 0; `packId` is 64 hex digits. */
  seal(packOrdinal: number, packId: string): void {
    while (packOrdinal >= this.#sealed.length) {
      this.#ids = Buffer.concat([this.#ids, Buffer.alloc(this.#ids.length)]);
      const sealed = new Uint8Array(this.#sealed.length * 2);
      sealed.set(this.#sealed);
      this.#sealed = sealed;
    }
    this.#ids.write(packId, packOrdinal * 32, 32, 'hex');
    this.#sealed[packOrdinal] = 1;
  }

  /** Adds the sealed packs to `packs`. @returns session ordinal -> ordinal in `packs`, `droppedPack` where not sealed */
  addTo(packs: PackTable, publishedMs: number): Uint32Array {
    const packMap = new Uint32Array(this.#sealed.length).fill(droppedPack);
    for (let ordinal = 0; ordinal < packMap.length; ordinal += 1) {
      if (this.#sealed[ordinal] === 0) continue;
      packMap[ordinal] = packs.add(this.#ids.toString('hex', ordinal * 32, ordinal * 32 + 32), publishedMs);
    }
    return packMap;
  }
}

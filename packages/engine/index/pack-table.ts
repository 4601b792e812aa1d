/**
 * The packs that a run's entries name, as the run stores them: 40 bytes each, so a million packs are 40 MB and no
 * objects. With each pack stands when its session published it. That is the age of every location in it, whatever runs
 * it is merged into, and decides which of two locations is the newer one.
 */
import { packRecordBytes } from './run-layout.ts';

export class PackTable {
  #records = Buffer.alloc(64 * packRecordBytes);
  #count = 0;

  /** The ordinal of the new pack. `packId`: 64 hex digits. */
  add(packId: string, publishedMs: number): number {
    const at = this.#count * packRecordBytes;
    if (at === this.#records.length) this.#records = Buffer.concat([this.#records, Buffer.alloc(at)]);
    this.#records.write(packId, at, 32, 'hex');
    this.#records.writeUIntLE(publishedMs, at + 32, 6);
    this.#count += 1;
    return this.#count - 1;
  }

  get records(): Buffer {
    return this.#records.subarray(0, this.#count * packRecordBytes);
  }
}

export function publishedMsOf(records: Buffer, ordinal: number): number {
  return records.readUIntLE(ordinal * packRecordBytes + 32, 6);
}

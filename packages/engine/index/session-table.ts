/**
 * Entries of the running session in memory: 48-byte records in slabs and an open-addressing table of ordinals over
 * them, 54 to 60 bytes an entry, no object for any of them. Looked up once for every chunk.
 */
import { compareEntryId, entryBytes, type IndexEntry, readEntry, writeEntry } from './entry.ts';
import { sortedOrder } from './sort-entries.ts';

const slabEntries = 4096;
/** Share of the slots that may be taken, in eighths. */
const fullEighths = 6;

export class SessionTable {
  readonly #slabs: Buffer[] = [];
  /** Ordinal + 1 of an entry, or 0. */
  #slots = new Uint32Array(1024);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#slabs.length * slabEntries * entryBytes + this.#slots.byteLength;
  }

  find(id: Buffer): IndexEntry | undefined {
    const ordinal = this.#slots[this.#slotOf(id)]! - 1;
    return ordinal < 0 ? undefined : readEntry(this.#slab(ordinal), atOf(ordinal));
  }

  /** A second entry of one id takes the place of the first. */
  add(id: Buffer, entry: IndexEntry): void {
    const slot = this.#slotOf(id);
    let ordinal = this.#slots[slot]! - 1;
    if (ordinal < 0) {
      ordinal = this.#count;
      this.#count += 1;
      if (ordinal % slabEntries === 0) this.#slabs.push(Buffer.allocUnsafeSlow(slabEntries * entryBytes));
      this.#slots[slot] = ordinal + 1;
    }
    writeEntry(this.#slab(ordinal), atOf(ordinal), id, entry);
    if (this.#count * 8 > this.#slots.length * fullEighths) this.#grow();
  }

  /** All entries sorted by id; the table must not change until the iteration ends. */
  async *sorted(): AsyncGenerator<Buffer> {
    const entryAt = (ordinal: number) => ({ bytes: this.#slab(ordinal), at: atOf(ordinal) });
    const order = sortedOrder({ count: this.#count, shardBits: 0, entryAt });
    for (let from = 0; from < order.length; from += slabEntries) {
      const part = Buffer.allocUnsafe(Math.min(slabEntries, order.length - from) * entryBytes);
      for (let to = 0; to < part.length; to += entryBytes) {
        const { bytes, at } = entryAt(order[from + to / entryBytes]!);
        bytes.copy(part, to, at, at + entryBytes);
      }
      yield part;
    }
  }

  /** The slot that holds `id`, or the free one where it belongs. */
  #slotOf(id: Buffer): number {
    const mask = this.#slots.length - 1;
    for (let slot = id.readUInt32LE(0) & mask; ; slot = (slot + 1) & mask) {
      const ordinal = this.#slots[slot]! - 1;
      if (ordinal < 0 || compareEntryId(this.#slab(ordinal), atOf(ordinal), id) === 0) return slot;
    }
  }

  #grow(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let ordinal = 0; ordinal < this.#count; ordinal += 1) {
      let slot = this.#slab(ordinal).readUInt32LE(atOf(ordinal)) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = ordinal + 1;
    }
    this.#slots = slots;
  }

  #slab(ordinal: number): Buffer {
    return this.#slabs[Math.floor(ordinal / slabEntries)]!;
  }
}

function atOf(ordinal: number): number {
  return (ordinal % slabEntries) * entryBytes;
}

/** A set of slots for each pack, as bits in one array: 4 bytes for every 32 slots, and 6 a pack. */

export class SlotSets {
  /** Of each pack: where its words begin, and how many it has. */
  readonly #starts: Uint32Array;
  readonly #lengths: Uint16Array;
  #words = new Uint32Array(1024);
  #used = 0;

  /** @param packCount ordinals are below it */
  constructor(packCount: number) {
    this.#starts = new Uint32Array(packCount);
    this.#lengths = new Uint16Array(packCount);
  }

  add(ordinal: number, slot: number): void {
    const word = slot >>> 5;
    this.#reserve(ordinal, word + 1);
    this.#words[this.#starts[ordinal]! + word]! |= 1 << (slot & 31);
  }

  /** All slots whose bit is set. @param bits slot 0 is the lowest bit of the first byte */
  addBits(ordinal: number, bits: { readonly bytes: Buffer; readonly at: number; readonly byteCount: number }): void {
    const { bytes, at, byteCount } = bits;
    this.#reserve(ordinal, (byteCount + 3) >>> 2);
    const start = this.#starts[ordinal]!;
    for (let index = 0; index < byteCount; index += 1) {
      this.#words[start + (index >>> 2)]! |= bytes[at + index]! << ((index & 3) << 3);
    }
  }

  isEmpty(ordinal: number): boolean {
    const start = this.#starts[ordinal]!;
    for (let word = 0; word < this.#lengths[ordinal]!; word += 1) if (this.#words[start + word] !== 0) return false;
    return true;
  }

  has(ordinal: number, slot: number): boolean {
    const word = slot >>> 5;
    if (word >= this.#lengths[ordinal]!) return false;
    return (this.#words[this.#starts[ordinal]! + word]! & (1 << (slot & 31))) !== 0;
  }

  /** Slots of a pack, ascending. */
  *slotsOf(ordinal: number): Generator<number> {
    for (let slot = 0; slot < this.#lengths[ordinal]! * 32; slot += 1) if (this.has(ordinal, slot)) yield slot;
  }

  #reserve(ordinal: number, length: number): void {
    const before = this.#lengths[ordinal]!;
    if (length <= before) return;
    const start = this.#used;
    this.#used += length;
    if (this.#used > this.#words.length) {
      const words = new Uint32Array(Math.max(this.#used, this.#words.length * 2));
      words.set(this.#words);
      this.#words = words;
    }
    this.#words.copyWithin(start, this.#starts[ordinal]!, this.#starts[ordinal]! + before);
    this.#starts[ordinal] = start;
    this.#lengths[ordinal] = length;
  }
}

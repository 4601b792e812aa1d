/** Which bytes of a read have arrived. A structured reply may bring them in any order, but none twice and none left out. */

/** Servers send a handful of pieces; a peer that sends more than this is not reading a disk. */
const MAX_PIECES = 65_536;

export class ReadCoverage {
  readonly #length: number;
  /** Disjoint, ascending, neighbours joined. */
  readonly #pieces: { start: number; end: number }[] = [];

  constructor(length: number) {
    this.#length = length;
  }

  /** False when the piece is empty, reaches outside, overlaps an earlier one, or there are too many. */
  add(start: number, length: number): boolean {
    const end = start + length;
    if (length <= 0 || start < 0 || end > this.#length) return false;
    const at = this.#indexAfter(start);
    const before = this.#pieces[at - 1];
    const next = this.#pieces[at];
    if ((before && before.end > start) || (next && next.start < end)) return false;
    const joinsBefore = before?.end === start;
    const joinsNext = next?.start === end;
    if (before && next && joinsBefore && joinsNext) {
      before.end = next.end;
      this.#pieces.splice(at, 1);
    } else if (before && joinsBefore) before.end = end;
    else if (next && joinsNext) next.start = start;
    else this.#pieces.splice(at, 0, { start, end });
    return this.#pieces.length <= MAX_PIECES;
  }

  get complete(): boolean {
    const [first] = this.#pieces;
    return this.#length === 0 || (first?.start === 0 && first.end === this.#length);
  }

  /** Index of the first piece that starts after `start`. */
  #indexAfter(start: number): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pieces[middle]!.start <= start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

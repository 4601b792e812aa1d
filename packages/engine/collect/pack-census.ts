/**
 * The packs of a domain, by the thousand: ids in one buffer behind a hash table of ordinals, so that a pack costs some 60
 * bytes and no objects. Ids are hashes themselves, so their first bytes are the hash.
 */
import type { PackKind } from '../repository/layout.ts';

const idBytes = 32;
const noPack = -1;

export class PackCensus {
  #ids = Buffer.alloc(2048 * idBytes);
  #sizes = new Float64Array(2048);
  /** Bit 0: meta, bit 1: listed. */
  #flags = new Uint8Array(2048);
  #table = new Int32Array(4096).fill(noPack);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /**
   * The ordinal of the pack, which is new or, when only one of the two was listed, is listed from now on.
   * @param pack.packId 64 hex digits
   * @param pack.sizeBytes of the object; undefined for a pack that is named somewhere and was not listed
   */
  add(pack: { readonly packId: string; readonly kind: PackKind; readonly sizeBytes: number | undefined }): number {
    const { packId, kind, sizeBytes } = pack;
    if ((this.#count + 1) * 2 > this.#table.length) this.#grow();
    const at = this.#count * idBytes;
    this.#ids.write(packId, at, 'hex');
    const known = this.find(this.#ids, at);
    const ordinal = known === noPack ? this.#count : known;
    if (known === noPack) {
      this.#table[this.#freePlace(at)] = ordinal;
      this.#count += 1;
      this.#flags[ordinal] = kind === 'meta' ? 1 : 0;
    }
    if (sizeBytes !== undefined) {
      this.#sizes[ordinal] = sizeBytes;
      this.#flags[ordinal]! |= 2;
    }
    return ordinal;
  }

  /** Ordinal of the pack whose 32 bytes of id lie at `at`; -1 when it is not known. */
  find(bytes: Buffer, at = 0): number {
    const mask = this.#table.length - 1;
    for (let place = bytes.readUInt32LE(at) & mask; ; place = (place + 1) & mask) {
      const ordinal = this.#table[place]!;
      if (ordinal === noPack) return noPack;
      const start = ordinal * idBytes;
      if (bytes.compare(this.#ids, start, start + idBytes, at, at + idBytes) === 0) return ordinal;
    }
  }

  findId(packId: string): number {
    return this.find(Buffer.from(packId, 'hex'));
  }

  idOf(ordinal: number): string {
    return this.#ids.toString('hex', ordinal * idBytes, (ordinal + 1) * idBytes);
  }

  kindOf(ordinal: number): PackKind {
    return (this.#flags[ordinal]! & 1) === 0 ? 'data' : 'meta';
  }

  isListed(ordinal: number): boolean {
    return (this.#flags[ordinal]! & 2) !== 0;
  }

  /** 0 for a pack that was not listed. */
  sizeOf(ordinal: number): number {
    return this.#sizes[ordinal]!;
  }

  #freePlace(at: number): number {
    const mask = this.#table.length - 1;
    let place = this.#ids.readUInt32LE(at) & mask;
    while (this.#table[place] !== noPack) place = (place + 1) & mask;
    return place;
  }

  #grow(): void {
    const capacity = this.#table.length;
    this.#ids = Buffer.concat([this.#ids], capacity * idBytes);
    this.#sizes = grown(this.#sizes, new Float64Array(capacity));
    this.#flags = grown(this.#flags, new Uint8Array(capacity));
    this.#table = new Int32Array(capacity * 2).fill(noPack);
    for (let ordinal = 0; ordinal < this.#count; ordinal += 1) {
      this.#table[this.#freePlace(ordinal * idBytes)] = ordinal;
    }
  }
}

function grown<Numbers extends { set(from: Numbers): void }>(from: Numbers, into: Numbers): Numbers {
  into.set(from);
  return into;
}

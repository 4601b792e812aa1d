/**
 * Which slots of which packs a point uses, and how often: what collection and presence checks read instead of the maps.
 * Paged by the leading bits of the pack id, so an increment rewrites only the pages of packs it touched. Pages are not
 * encrypted and their ids not keyed: a keeper without domain keys reads them. They hold no content and no names.
 *
 * Counted: every DATA entry of every map page reference of the point, and every map page. Not counted: map roots, guest
 * configuration and the pages of this table; the manifest refers to those itself.
 *
 *   page   packs (u32) | for each, ascending by id: pack id (32), kind (u8: 1 data, 2 meta), slots (u16), uses (varint x slots)
 *   root   partition bits (u8) | packs (u32) | references (2^bits pages; ZERO = empty)
 */
import { HoldfastError } from '@holdfast/base';
import { hashBytes } from '../chunk/hash.ts';
import type { PackKind } from '../repository/layout.ts';
import { decodeReferences, encodeReferences, type Reference } from './reference-list.ts';

/** A page splits when pages hold more than this on average: about 9 KiB of 60-slot packs. */
const packsPerPage = 128;
const maximumPartitionBits = 16;

/** Uses by slot; a slot with 0 uses is dead for this point. */
export type PackUse = { readonly kind: PackKind; readonly uses: readonly number[] };

export type PackTableRoot = {
  readonly partitionBits: number;
  readonly packCount: number;
  readonly pages: readonly Reference[];
};

export const emptyTableRoot: PackTableRoot = { partitionBits: 0, packCount: 0, pages: [{ kind: 'zero' }] };

export function partitionBitsFor(packCount: number): number {
  let bits = 0;
  while (bits < maximumPartitionBits && packCount > packsPerPage << bits) bits += 1;
  return bits;
}

/** Page of the table that a pack belongs to. */
export function partitionOf(packId: string, partitionBits: number): number {
  return Number.parseInt(packId.slice(0, 4), 16) >> (16 - partitionBits);
}

export function encodeTableRoot(root: PackTableRoot): Buffer {
  const head = Buffer.alloc(5);
  head[0] = root.partitionBits;
  head.writeUInt32LE(root.packCount, 1);
  return Buffer.concat([head, encodeReferences(root.pages)]);
}

/** @throws repository_damaged */
export function decodeTableRoot(bytes: Buffer): PackTableRoot {
  const partitionBits = bytes[0];
  if (bytes.length < 5 || partitionBits === undefined || partitionBits > maximumPartitionBits) throw damaged();
  const pages = decodeReferences(bytes.subarray(5));
  if (pages.length !== 2 ** partitionBits) throw damaged();
  return { partitionBits, packCount: bytes.readUInt32LE(1), pages };
}

export function encodeTablePage(packs: ReadonlyMap<string, PackUse>): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(packs.size);
  const parts: Buffer[] = [head];
  for (const packId of [...packs.keys()].sort()) {
    const { kind, uses } = packs.get(packId)!;
    const entry = Buffer.alloc(hashBytes + 3 + uses.length * 5);
    entry.write(packId, 0, 'hex');
    entry[32] = kind === 'data' ? 1 : 2;
    entry.writeUInt16LE(uses.length, 33);
    let at = 35;
    for (let value of uses) {
      for (; value >= 0x80; value = Math.floor(value / 128)) entry[at++] = (value & 0x7f) | 0x80;
      entry[at++] = value;
    }
    parts.push(entry.subarray(0, at));
  }
  return Buffer.concat(parts);
}

/** @throws repository_damaged */
export function decodeTablePage(bytes: Buffer): Map<string, PackUse> {
  const packs = new Map<string, PackUse>();
  let uses: number[] = [];
  scanTablePage(bytes, {
    onPack: ({ idAt, kind, slots }) => {
      uses = new Array<number>(slots);
      packs.set(bytes.toString('hex', idAt, idAt + hashBytes), { kind, uses });
    },
    onSlot: (slot, count) => {
      uses[slot] = count;
    },
  });
  return packs;
}

/**
 * The same without making anything: each pack, followed by its slots in order.
 * @param visit.onPack `idAt` is where its 32 bytes of id lie
 * @throws repository_damaged, when part of the page may have been visited
 */
export function scanTablePage(
  bytes: Buffer,
  visit: {
    readonly onPack: (pack: { readonly idAt: number; readonly kind: PackKind; readonly slots: number }) => void;
    readonly onSlot: (slot: number, count: number) => void;
  },
): void {
  if (bytes.length < 4) throw damaged();
  let at = 4;
  for (let left = bytes.readUInt32LE(0); left > 0; left -= 1) {
    if (at + 35 > bytes.length) throw damaged();
    const slots = bytes.readUInt16LE(at + 33);
    visit.onPack({ idAt: at, kind: bytes[at + 32] === 1 ? 'data' : 'meta', slots });
    at += 35;
    for (let slot = 0; slot < slots; slot += 1) {
      let value = 0;
      let scale = 1;
      for (;;) {
        const byte = bytes[at++];
        if (byte === undefined || scale > 2 ** 28) throw damaged();
        value += (byte & 0x7f) * scale;
        if (byte < 0x80) break;
        scale *= 128;
      }
      visit.onSlot(slot, value);
    }
  }
  if (at !== bytes.length) throw damaged();
}

function damaged(): HoldfastError {
  return new HoldfastError('repository_damaged', 'A page of a pack table is damaged.');
}

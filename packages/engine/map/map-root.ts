/**
 * The root of a disk's map: the geometry and a reference to each page; an all-zero page has no frame, just a ZERO entry.
 *
 *   magic "HFMR" | version 1 (u16) | chunks a page (u16) | chunk bytes (u32) | disk bytes (u64) | references
 */
import { HoldfastError } from '@holdfast/base';
import { chunksPerPage, type Geometry, geometryOf } from '../chunk/geometry.ts';
import { decodeReferences, encodeReferences, type Reference } from './reference-list.ts';

const magic = Buffer.from('HFMR', 'latin1');
const headBytes = 20;

export type MapRoot = { readonly geometry: Geometry; readonly pages: readonly Reference[] };

export function encodeMapRoot(root: MapRoot): Buffer {
  const head = Buffer.alloc(headBytes);
  magic.copy(head);
  head.writeUInt16LE(1, 4);
  head.writeUInt16LE(chunksPerPage, 6);
  head.writeUInt32LE(root.geometry.chunkBytes, 8);
  head.writeBigUInt64LE(BigInt(root.geometry.sizeBytes), 12);
  return Buffer.concat([head, encodeReferences(root.pages)]);
}

/** @throws repository_damaged, repository_newer */
export function decodeMapRoot(bytes: Buffer): MapRoot {
  if (bytes.length < headBytes || !bytes.subarray(0, 4).equals(magic)) {
    throw new HoldfastError('repository_damaged', 'A map root does not begin as one.');
  }
  if (bytes.readUInt16LE(4) !== 1 || bytes.readUInt16LE(6) !== chunksPerPage) {
    throw new HoldfastError('repository_newer', `A map root has version ${bytes.readUInt16LE(4)}.`);
  }
  const geometry = geometryOf({ sizeBytes: Number(bytes.readBigUInt64LE(12)), chunkBytes: bytes.readUInt32LE(8) });
  const pages = decodeReferences(bytes.subarray(headBytes));
  if (pages.length !== geometry.pageCount) {
    throw new HoldfastError('repository_damaged', `A map root lists ${pages.length} of ${geometry.pageCount} pages.`);
  }
  return { geometry, pages };
}

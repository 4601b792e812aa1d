/** The internal snapshots of a qcow2 image, as its snapshot table lists them. */
import { MiB } from '@holdfast/base';
import { readUint64 } from '../nbd/protocol.ts';
import { checkL1Entries, type Qcow2Header } from './header.ts';
import type { ImageFile } from './image-file.ts';

export type SnapshotRecord = {
  /** Unique in the image; QEMU counts from 1. */
  readonly id: string;
  /** Two may have the same one. */
  readonly name: string;
  readonly takenAtMs: number;
  /** How long the guest had run. */
  readonly vmClockMs: number;
  /** Memory saved with it; 0 for a snapshot of the disk alone. */
  readonly vmStateBytes: number;
  /** Of the disk in it. */
  readonly sizeBytes: number;
  readonly l1: { readonly offset: number; readonly entries: number };
};

const FIXED_BYTES = 40;
/** As QEMU: more is not read. */
const MAX_EXTRA_BYTES = 1024;
const MAX_TABLE_BYTES = 64 * MiB;
/** Of one entry: fixed part, extra data, id and name of 64 KiB each. */
const MAX_ENTRY_BYTES = FIXED_BYTES + MAX_EXTRA_BYTES + 2 * 65_535 + 8;

/** Oldest first, as in the table. @throws image_damaged, source_unreadable */
export async function readSnapshotTable(file: ImageFile, header: Qcow2Header): Promise<readonly SnapshotRecord[]> {
  const { offset, snapshots } = header.snapshotTable;
  const records: SnapshotRecord[] = [];
  const buffer = Buffer.alloc(snapshots === 0 ? 0 : MAX_ENTRY_BYTES);
  for (let at = 0; records.length < snapshots; ) {
    const what = `entry ${records.length + 1} of the snapshot table`;
    if (at > MAX_TABLE_BYTES) throw file.damaged('the snapshot table is too long');
    const fixed = buffer.subarray(0, FIXED_BYTES);
    await file.read({ into: fixed, offset: offset + at, what });
    const extraBytes = fixed.readUInt32BE(36);
    if (extraBytes > MAX_EXTRA_BYTES) throw file.damaged(`${what} has ${extraBytes} bytes of extra data`);
    const length = FIXED_BYTES + extraBytes + fixed.readUInt16BE(12) + fixed.readUInt16BE(14);
    const entry = buffer.subarray(0, length);
    await file.read({ into: entry.subarray(FIXED_BYTES), offset: offset + at + FIXED_BYTES, what });
    records.push(parseEntry({ entry, extraBytes, what, header, file }));
    at += Math.ceil(length / 8) * 8;
  }
  return records;
}

function parseEntry(options: {
  readonly entry: Buffer;
  readonly extraBytes: number;
  readonly what: string;
  readonly header: Qcow2Header;
  readonly file: ImageFile;
}): SnapshotRecord {
  const { entry, extraBytes, what, header, file } = options;
  const number = (at: number): number => {
    const value = readUint64(entry, at);
    if (value === undefined) throw file.damaged(`${what} holds a number out of range`);
    return value;
  };
  const offset = number(0);
  if (offset % header.clusterBytes !== 0) throw file.damaged(`${what}: its L1 table begins inside a cluster`);
  const idAt = FIXED_BYTES + extraBytes;
  const nameAt = idAt + entry.readUInt16BE(12);
  return {
    id: entry.toString('utf8', idAt, nameAt),
    name: entry.toString('utf8', nameAt, nameAt + entry.readUInt16BE(14)),
    takenAtMs: entry.readUInt32BE(16) * 1000 + Math.floor(entry.readUInt32BE(20) / 1e6),
    vmClockMs: Math.floor((entry.readUInt32BE(24) * 2 ** 32 + entry.readUInt32BE(28)) / 1e6),
    vmStateBytes: extraBytes >= 8 ? number(FIXED_BYTES) : entry.readUInt32BE(32),
    // Images of before QEMU 1.1 do not say it: the disk could not be resized then.
    sizeBytes: extraBytes >= 16 ? number(FIXED_BYTES + 8) : header.sizeBytes,
    l1: { offset, entries: checkL1Entries(entry.readUInt32BE(8), `${what}: its L1 table`, file) },
  };
}

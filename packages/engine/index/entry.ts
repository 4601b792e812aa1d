/**
 * One index entry, 48 bytes, integers little-endian:
 *
 *     0  chunk id (32)      sorts as bytes
 *     32 pack u32           ordinal in the run's pack table (in a session's own segments: the session's pack ordinal)
 *     36 slot u16
 *     38 reserved u16       zero
 *     40 offset u32         first byte of the frame in the pack
 *     44 stored bytes u32   length of the frame
 */
export const entryBytes = 48;
export const idBytes = 32;

/** An entry without its id; `pack` means nothing outside the run or session it came from. */
export type IndexEntry = {
  readonly pack: number;
  readonly slot: number;
  readonly offset: number;
  readonly storedBytes: number;
};

export function writeEntry(into: Buffer, at: number, id: Buffer, entry: IndexEntry): void {
  id.copy(into, at, 0, idBytes);
  into.writeUInt32LE(entry.pack, at + 32);
  into.writeUInt16LE(entry.slot, at + 36);
  into.writeUInt16LE(0, at + 38);
  into.writeUInt32LE(entry.offset, at + 40);
  into.writeUInt32LE(entry.storedBytes, at + 44);
}

export function readEntry(from: Buffer, at: number): IndexEntry {
  return {
    pack: from.readUInt32LE(at + 32),
    slot: from.readUInt16LE(at + 36),
    offset: from.readUInt32LE(at + 40),
    storedBytes: from.readUInt32LE(at + 44),
  };
}

export function packOfEntry(from: Buffer, at: number): number {
  return from.readUInt32LE(at + 32);
}

export function setPackOfEntry(into: Buffer, at: number, pack: number): void {
  into.writeUInt32LE(pack, at + 32);
}

/** Negative, zero or positive as the id of the entry at `at` sorts before, equals or sorts after `id`. */
export function compareEntryId(entries: Buffer, at: number, id: Buffer): number {
  return entries.compare(id, 0, idBytes, at, at + idBytes);
}

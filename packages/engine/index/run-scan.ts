/** Reading a run from end to end, for merges: large reads, every block checked, damaged ones left out and reported. */
import { MiB } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import type { OnIndexDamage } from './damage.ts';
import { entryBytes } from './entry.ts';
import { crcBytes, packRecordBytes, pieceAt, pieceHolds, type RunLayout } from './run-layout.ts';

const readBytes = MiB;

export type ScanRequest = {
  readonly store: BlobStore;
  readonly key: string;
  readonly layout: RunLayout;
  readonly onDamage: OnIndexDamage;
  readonly signal?: AbortSignal | undefined;
};

/** Whole records of consecutive good blocks; `first` is the ordinal of the first one. */
export type ScannedRecords = { readonly first: number; readonly records: Buffer };

/** All entries in order. @throws what the storage throws: a merge must not take a failing read for an empty block */
export async function* scanEntries(request: ScanRequest): AsyncGenerator<Buffer> {
  const { entryCount: count, entriesPerBlock: perBlock } = request.layout;
  for await (const { records } of scan({ ...request, kind: 'entries', count, perBlock, recordBytes: entryBytes })) {
    yield records;
  }
}

/** The pack table, in records of 40 bytes. @throws what the storage throws */
export function scanPacks(request: ScanRequest): AsyncGenerator<ScannedRecords> {
  const { packCount: count, packsPerPage: perBlock } = request.layout;
  return scan({ ...request, kind: 'packs', count, perBlock, recordBytes: packRecordBytes });
}

async function* scan(
  request: ScanRequest & {
    readonly kind: 'entries' | 'packs';
    readonly count: number;
    readonly perBlock: number;
    readonly recordBytes: number;
  },
): AsyncGenerator<ScannedRecords> {
  const { store, key, layout, kind, count, perBlock, recordBytes, signal } = request;
  const blocks = Math.ceil(count / perBlock);
  const stride = perBlock * recordBytes + crcBytes;
  const blocksPerRead = Math.max(1, Math.floor(readBytes / stride));
  for (let from = 0; from < blocks; from += blocksPerRead) {
    const until = Math.min(blocks, from + blocksPerRead);
    const start = pieceAt(layout, kind, from).offset;
    const last = pieceAt(layout, kind, until - 1);
    const range = { offset: start, length: last.offset + last.length - start };
    const bytes = await store.get(key, { range, signal });
    // Good blocks are put together without their checksums: one buffer a read unless a block in it is damaged.
    const good = Buffer.allocUnsafeSlow(bytes.length);
    let stretchFrom = 0;
    let stretchEnd = 0;
    let first = from * perBlock;
    for (let ordinal = from; ordinal < until; ordinal += 1) {
      const { offset, length } = pieceAt(layout, kind, ordinal);
      const piece = bytes.subarray(offset - start, offset - start + length);
      if (piece.length === length && pieceHolds(piece, layout.nonce, kind, ordinal)) {
        piece.copy(good, stretchEnd, 0, length - crcBytes);
        stretchEnd += length - crcBytes;
        continue;
      }
      request.onDamage({ key, reason: 'corrupt', detail: `Piece ${kind} ${ordinal} does not fit its checksum.` });
      if (stretchEnd > stretchFrom) yield { first, records: good.subarray(stretchFrom, stretchEnd) };
      first = (ordinal + 1) * perBlock;
      stretchFrom = stretchEnd;
    }
    if (stretchEnd > stretchFrom) yield { first, records: good.subarray(stretchFrom, stretchEnd) };
  }
}

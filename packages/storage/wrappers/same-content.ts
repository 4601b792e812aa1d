/** Whether an object on a storage holds exactly the bytes of a body: how a put recognises its own earlier success. */
import { MiB } from '@holdfast/base';
import { bodyParts, bodySizeBytes } from '../blob-body.ts';
import type { BlobBody, BlobStore } from '../blob-store.ts';

/** Read in pieces, so that memory stays small whatever the size. */
const pieceBytes = 8 * MiB;

export async function hasSameContent(request: {
  readonly store: BlobStore;
  readonly key: string;
  readonly body: BlobBody;
  readonly signal: AbortSignal | undefined;
}): Promise<boolean> {
  const { store, key, body, signal } = request;
  const info = await store.head(key, { signal });
  if (info?.sizeBytes !== bodySizeBytes(body)) return false;
  let piece: Buffer = Buffer.alloc(0);
  let pieceStart = 0;
  let position = 0;
  for await (const part of bodyParts(body, signal)) {
    for (const buffer of part) {
      for (let done = 0; done < buffer.length; ) {
        if (position >= pieceStart + piece.length) {
          pieceStart = position;
          piece = await store.get(key, { range: { offset: position, length: pieceBytes }, signal });
          if (piece.length === 0) return false;
        }
        const from = position - pieceStart;
        const length = Math.min(buffer.length - done, piece.length - from);
        if (!buffer.subarray(done, done + length).equals(piece.subarray(from, from + length))) return false;
        done += length;
        position += length;
      }
    }
  }
  return true;
}

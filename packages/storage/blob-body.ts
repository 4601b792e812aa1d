/** The two forms of `BlobBody` seen as one: its size, and its bytes in order. */
import { HoldfastError } from '@holdfast/base';
import type { BlobBody } from './blob-store.ts';

/** Bytes that a put of this body stores. */
export function bodySizeBytes(body: BlobBody): number {
  if (!('buffers' in body)) return body.sizeBytes;
  let sizeBytes = 0;
  for (const buffer of body.buffers) sizeBytes += buffer.length;
  return sizeBytes;
}

/**
 * The bytes as lists of buffers, each list fit for one vectored write. A stream that does not give exactly the size it
 * promised fails before its last list, so nothing incomplete is ever published.
 * @throws internal for such a stream, signal.reason, and whatever the stream throws
 */
export async function* bodyParts(body: BlobBody, signal?: AbortSignal): AsyncGenerator<readonly Buffer[]> {
  signal?.throwIfAborted();
  if ('buffers' in body) {
    yield body.buffers;
    return;
  }
  let seenBytes = 0;
  for await (const chunk of body.open()) {
    signal?.throwIfAborted();
    seenBytes += chunk.length;
    if (seenBytes > body.sizeBytes) throw wrongSize(body.sizeBytes, `at least ${seenBytes}`);
    yield [chunk];
  }
  signal?.throwIfAborted();
  if (seenBytes !== body.sizeBytes) throw wrongSize(body.sizeBytes, String(seenBytes));
}

function wrongSize(promised: number, seen: string): HoldfastError {
  return new HoldfastError('internal', `An object body of ${promised} bytes was promised, but it gave ${seen}.`);
}

/** Opening a run: one small read from its start, a second one only for the shard table of runs above 250 million entries. */
import type { BlobStore } from '@holdfast/storage';
import { KiB } from '@holdfast/base';
import { decodeHead, headLength, type RunLayout } from './run-layout.ts';

/** Covers the filters of 50 000 entries, or the whole of a run of 1 300. */
const prefixBytes = 64 * KiB;

export type RunHead = {
  readonly layout: RunLayout /** The first bytes of the file, to be used while they are here. */;
  readonly prefix: Buffer;
};

/** @throws object_not_found, repository_damaged, repository_newer, and what the storage throws */
export async function readRunHead(request: {
  readonly store: BlobStore;
  readonly key: string;
  readonly sizeBytes: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<RunHead> {
  const { store, key, sizeBytes, signal } = request;
  const prefix = await store.get(key, { range: { offset: 0, length: Math.min(prefixBytes, sizeBytes) }, signal });
  const length = headLength(prefix);
  if (length <= prefix.length) return { layout: decodeHead(prefix, sizeBytes), prefix };
  const head = await store.get(key, { range: { offset: 0, length: Math.min(length, sizeBytes) }, signal });
  return { layout: decodeHead(head, sizeBytes), prefix };
}

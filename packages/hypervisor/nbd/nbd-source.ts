/** Any NBD export as a disk to read, with the ranges of a dirty bitmap where one was asked for. */
import { type BlockExtent, type BlockSource, type Extent, HoldfastError } from '@holdfast/base';
import type { NbdAddress } from '../block-location.ts';
import { contiguousExtents } from '../extent-stream.ts';
import { type NbdClient, openNbdClient } from './client/nbd-client.ts';
import type { StatusExtent } from './client/block-status.ts';
import { allocationFlag, BASE_ALLOCATION, DIRTY_FLAG, QEMU_DIRTY_BITMAP } from './protocol.ts';

export type NbdSource = BlockSource & {
  /** The ranges marked in the bitmap, ascending, neighbours joined; present when a bitmap was asked for. */
  changed?(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Extent>;
};

/** Keeps one server thread busy over four connections; 16 are a tenth slower for the caches (bench/nbd.ts). */
export const NBD_CONCURRENCY = 8;

/** @throws source_not_found (no such export), bitmap_not_found, nbd_failed */
export async function openNbdSource(options: {
  readonly address: NbdAddress;
  readonly exportName: string;
  readonly bitmap?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<NbdSource> {
  const { address, exportName, bitmap, signal } = options;
  await using stack = new AsyncDisposableStack();
  const client = stack.use(await openOrNotFound({ address, exportName, signal }));
  if (bitmap === undefined) return nbdSource(client, stack.move(), undefined);
  // A connection of its own: asked together, each answer would also compute the allocation of the same range.
  const context = QEMU_DIRTY_BITMAP + bitmap;
  const contexts = [context];
  const bitmapClient = stack.use(await openOrNotFound({ address, exportName, contexts, connections: 1, signal }));
  if (!bitmapClient.export.contexts.has(context)) {
    throw new HoldfastError('bitmap_not_found', `${client.uri} offers no bitmap ${bitmap}`, {
      facts: { export: client.uri, bitmap },
    });
  }
  return nbdSource(client, stack.move(), (signal) => dirtyExtents(bitmapClient, context, signal));
}

async function openOrNotFound(options: Parameters<typeof openNbdClient>[0]): Promise<NbdClient> {
  try {
    return await openNbdClient(options);
  } catch (error) {
    if (error instanceof HoldfastError && error.facts.errno === 'NBD_REP_ERR_UNKNOWN') {
      throw new HoldfastError('source_not_found', error.message, { cause: error, facts: error.facts });
    }
    throw error;
  }
}

function nbdSource(
  client: NbdClient,
  owned: AsyncDisposableStack,
  changed: ((signal: AbortSignal | undefined) => AsyncIterable<Extent>) | undefined,
): NbdSource {
  return {
    sizeBytes: client.export.sizeBytes,
    concurrency: NBD_CONCURRENCY,
    read: (request) => client.read(request),
    extents({ offset, length, signal }) {
      const range = { offset, length };
      if (!client.export.contexts.has(BASE_ALLOCATION)) return contiguousExtents({ range, extents: [] });
      const statuses = client.blockStatus({ context: BASE_ALLOCATION, ...range, signal });
      return contiguousExtents({ range, extents: zeroExtents(statuses) });
    },
    ...(changed && { changed: (options) => changed(options?.signal) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function* zeroExtents(statuses: AsyncIterable<StatusExtent>): AsyncGenerator<BlockExtent, void, undefined> {
  for await (const { offset, length, flags } of statuses) {
    yield { offset, length, zero: (flags & allocationFlag.zero) !== 0 };
  }
}

async function* dirtyExtents(
  client: NbdClient,
  context: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Extent, void, undefined> {
  let open: Extent | undefined;
  for await (const status of client.blockStatus({ context, offset: 0, length: client.export.sizeBytes, signal })) {
    if ((status.flags & DIRTY_FLAG) === 0) continue;
    if (open && open.offset + open.length === status.offset) {
      open = { offset: open.offset, length: open.length + status.length };
      continue;
    }
    if (open) yield open;
    open = { offset: status.offset, length: status.length };
  }
  if (open) yield open;
}

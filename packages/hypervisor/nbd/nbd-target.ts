/** Any writable NBD export as a disk to write. What it held before is unknown, so it is never fresh. */
import { type BlockTarget, formatBytes, HoldfastError, hasCode } from '@holdfast/base';
import type { NbdAddress } from '../block-location.ts';
import { type NbdClient, openNbdClient } from './client/nbd-client.ts';
import { NBD_CONCURRENCY } from './nbd-source.ts';

/** @throws target_too_small, target_unwritable (read-only, or no such export), nbd_failed */
export async function openNbdTarget(options: {
  readonly address: NbdAddress;
  readonly exportName: string;
  readonly sizeBytes: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<BlockTarget> {
  const { address, exportName, sizeBytes, signal } = options;
  const client = await targetErrors(openNbdClient({ address, exportName, contexts: [], signal }));
  const { export: nbdExport, uri } = client;
  try {
    if (nbdExport.readOnly) throw new HoldfastError('target_unwritable', `${uri} is a read-only export`);
    if (nbdExport.sizeBytes < sizeBytes) {
      throw new HoldfastError(
        'target_too_small',
        `${uri} has ${formatBytes(nbdExport.sizeBytes)} (${nbdExport.sizeBytes} bytes), the disk needs ${sizeBytes} bytes`,
        { facts: { export: uri, nowBytes: nbdExport.sizeBytes, sizeBytes } },
      );
    }
    return nbdTarget(client);
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
}

function nbdTarget(client: NbdClient): BlockTarget {
  return {
    sizeBytes: client.export.sizeBytes,
    concurrency: NBD_CONCURRENCY,
    fresh: false,
    read: (request) => client.read(request),
    write: (request) => targetErrors(client.write(request)),
    zero: (request) => targetErrors(client.writeZeroes(request)),
    flush: () => targetErrors(client.flush()),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** Says what the errno of an NBD server means to somebody who writes a disk. */
async function targetErrors<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (!hasCode(error, 'nbd_failed')) throw error;
    const { facts } = error;
    switch (facts.errno) {
      case 'ENOSPC':
        throw new HoldfastError('target_full', error.message, { cause: error, facts });
      case 'EPERM':
      case 'NBD_REP_ERR_UNKNOWN':
        throw new HoldfastError('target_unwritable', error.message, { cause: error, facts });
      default:
        throw error;
    }
  }
}

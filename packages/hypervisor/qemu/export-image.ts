/** Opens an image with a qemu-storage-daemon of its own and offers it over NBD on a private unix socket. */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/base';
import type { NbdAddress } from '../block-location.ts';
import type { ImageFormat } from '../image-format.ts';
import { fileDriver } from './image-options.ts';
import type { ImageRole } from './qemu-errors.ts';
import { type StorageDaemon, startStorageDaemon } from './storage-daemon.ts';

export interface ExportedImage extends AsyncDisposable {
  readonly address: NbdAddress;
  readonly exportName: string;
  /** The daemon's process id. */
  readonly pid: number;
  /** Closes the image in good order, which a writable one needs; disposing afterwards does nothing more. */
  close(): Promise<void>;
}

const NODE = 'disk';

/**
 * Read-only unless `writable`. QEMU's own image lock is taken: an image that another program writes is refused, and
 * while it is exported for writing no virtual machine starts on it.
 * @throws source_not_found, source_unreadable, bitmap_not_found, bitmap_inconsistent, qemu_failed
 */
export async function exportImage(options: {
  readonly path: string;
  readonly format: ImageFormat;
  readonly writable: boolean;
  /** Offered as metadata context `qemu:dirty-bitmap:NAME`. */
  readonly bitmap?: string | undefined;
  /** Takes no lock, so that a machine can be started on the image meanwhile: the caller finds that out, and drops what he read. */
  readonly isUnlocked?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<ExportedImage> {
  const { path, signal } = options;
  const role: ImageRole = options.writable ? 'target' : 'source';
  const driver = await fileDriver(path);
  const daemon = await startStorageDaemon({ signal });
  try {
    const socketPath = join(daemon.directory, 'nbd');
    const open = daemon.execute({
      command: 'blockdev-add',
      args: {
        driver: options.format,
        'node-name': NODE,
        'read-only': !options.writable,
        discard: 'unmap',
        file: { driver, filename: path, discard: 'unmap', ...(options.isUnlocked && { locking: 'off' }) },
      },
      doing: `open ${path}`,
      role,
    });
    const listen = daemon.execute({
      command: 'nbd-server-start',
      args: { addr: { type: 'unix', data: { path: socketPath } } },
      doing: `offer ${path} over NBD`,
      role,
    });
    await Promise.all([open, listen]);
    if (options.bitmap !== undefined) await refuseUnlessOwnBitmap({ daemon, path, bitmap: options.bitmap });
    await daemon.execute({
      command: 'block-export-add',
      args: {
        type: 'nbd',
        id: 'export',
        'node-name': NODE,
        name: NODE,
        writable: options.writable,
        ...(options.bitmap !== undefined && { bitmaps: [options.bitmap] }),
      },
      doing: `offer ${path} over NBD`,
      role,
    });
    return {
      address: { kind: 'unix', socketPath },
      exportName: NODE,
      pid: daemon.pid,
      close: () => daemon.quit(),
      [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
    };
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * QEMU also takes a bitmap of that name from a backing file, which knows nothing of the writes to the layers above it:
 * only one of the image itself will do.
 */
async function refuseUnlessOwnBitmap(options: {
  readonly daemon: StorageDaemon;
  readonly path: string;
  readonly bitmap: string;
}): Promise<void> {
  const { daemon, path, bitmap } = options;
  const nodes = await daemon.execute({
    command: 'query-named-block-nodes',
    args: { flat: true },
    doing: `list the bitmaps of ${path}`,
    role: 'source',
  });
  const found = bitmapsOf(nodes).find(({ name }) => name === bitmap);
  const facts = { path, bitmap };
  if (!found) throw new HoldfastError('bitmap_not_found', `${path} has no bitmap ${bitmap}`, { facts });
  if (found.inconsistent === true) {
    throw new HoldfastError('bitmap_inconsistent', `the bitmap ${bitmap} of ${path} is inconsistent`, { facts });
  }
}

type BitmapInfo = { readonly name?: unknown; readonly inconsistent?: unknown };

/** The parts of `query-named-block-nodes` that matter here; everything else may be as it likes. */
function bitmapsOf(nodes: unknown): readonly BitmapInfo[] {
  const list = (Array.isArray(nodes) ? nodes : []) as readonly Readonly<Record<string, unknown>>[];
  const bitmaps = list.find((node) => node['node-name'] === NODE)?.['dirty-bitmaps'];
  return Array.isArray(bitmaps) ? (bitmaps as readonly BitmapInfo[]) : [];
}

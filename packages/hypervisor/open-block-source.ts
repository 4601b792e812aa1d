/** Opens any disk that can be named, for reading. */
import { type BlockSource, type Extent, HoldfastError } from '@holdfast/base';
import { type BlockLocation, formatNbdUri } from './block-location.ts';
import { openFileSource } from './file/file-source.ts';
import { detectImageFormat, type ImageFormat } from './image-format.ts';
import { openNbdSource } from './nbd/nbd-source.ts';
import { openQcow2Source } from './qcow2/qcow2-source.ts';

export type OpenedSource = BlockSource & {
  /** "raw file /images/a.raw", for people. */
  readonly description: string;
  /** There when a bitmap was asked for: the ranges written since it began, ascending, inside the disk. */
  changed?(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Extent>;
  /**
   * To be called when everything was read.
   * @throws source_changed
   */
  confirmUnchanged?(): Promise<void>;
};

/**
 * @throws source_not_found, source_unreadable (also: in use by another program), bitmap_not_found,
 *   bitmap_inconsistent, nbd_failed, qemu_failed
 */
export async function openBlockSource(options: {
  readonly location: BlockLocation;
  /** Of a file; found out by its magic when absent. */
  readonly format?: ImageFormat | undefined;
  /** Name of a dirty bitmap, in the qcow2 file or offered by the NBD server. */
  readonly bitmap?: string | undefined;
  /**
   * A machine can be started on a qcow2 image meanwhile, as on a raw one. Whoever wants that has to find out whether
   * it was, and to drop what he read then.
   */
  readonly isUnlocked?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<OpenedSource> {
  const { location, isUnlocked, signal } = options;
  switch (location.kind) {
    case 'file': {
      const { path } = location;
      const format = options.format ?? (await detectImageFormat(path));
      if (format === 'qcow2') {
        const source = await openQcow2Source({ path, bitmap: options.bitmap, isUnlocked, signal });
        return Object.assign(source, { description: `qcow2 image ${path}` });
      }
      const source = await openFileSource({ path, signal });
      if (options.bitmap !== undefined) {
        await source[Symbol.asyncDispose]();
        throw new HoldfastError('bitmap_not_found', `${path} is a raw disk; only qcow2 images hold bitmaps`);
      }
      return Object.assign(source, { description: `raw disk ${path}` });
    }
    case 'nbd': {
      const { address, exportName } = location;
      const source = await openNbdSource({ address, exportName, bitmap: options.bitmap, signal });
      return Object.assign(source, { description: `NBD export ${formatNbdUri(address, exportName)}` });
    }
    default:
      return location satisfies never;
  }
}

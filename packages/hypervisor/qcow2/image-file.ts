/** The file of a qcow2 image, to read its tables from. A table that lies where the file does not is damage. */
import { type FileHandle, open } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/base';
import { diskFileSizeBytes } from '../file/disk-file.ts';
import { sourceFileError } from '../file/file-errors.ts';

/** What is wrong with the tables of `path`: "the L1 table lies past the end of the file". */
export function imageDamaged(path: string, what: string): HoldfastError {
  return new HoldfastError('image_damaged', `${path}: ${what}`, { facts: { path } });
}

export class ImageFile implements AsyncDisposable {
  readonly path: string;
  readonly #handle: FileHandle;

  /** @throws source_not_found, source_unreadable */
  static async open(path: string): Promise<ImageFile> {
    try {
      return new ImageFile({ path, handle: await open(path, 'r') });
    } catch (error) {
      throw sourceFileError(path, error);
    }
  }

  private constructor({ path, handle }: { readonly path: string; readonly handle: FileHandle }) {
    this.path = path;
    this.#handle = handle;
  }

  /** Now: a running machine's image grows. @throws source_unreadable */
  async sizeBytes(): Promise<number> {
    try {
      return await diskFileSizeBytes(await this.#handle.stat({ bigint: true }));
    } catch (error) {
      throw sourceFileError(this.path, error);
    }
  }

  /**
   * Fills `into` from `offset`. `what` is for the message: "the L1 table".
   * @throws image_damaged when the file ends before, source_unreadable
   */
  async read(request: { readonly into: Buffer; readonly offset: number; readonly what: string }): Promise<void> {
    const { into, offset, what } = request;
    if (!Number.isSafeInteger(offset + into.length)) throw this.#ends(what);
    try {
      for (let done = 0; done < into.length; ) {
        const { bytesRead } = await this.#handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) throw this.#ends(what);
        done += bytesRead;
      }
    } catch (error) {
      throw sourceFileError(this.path, error);
    }
  }

  damaged(what: string): HoldfastError {
    return imageDamaged(this.path, what);
  }

  #ends(what: string): HoldfastError {
    return this.damaged(`${what} lies past the end of the file`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

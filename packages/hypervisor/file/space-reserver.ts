/**
 * Gives ranges of a new file their space before they are written. While a direct write allocates, the file system lets
 * no other into the file (ext4, XFS); into space that is there they go side by side: 2.6 GiB in 1.8 s instead of
 * 2.4 to 2.9 s. Node has no fallocate; util-linux has (1 ms a range).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { type Extent, MiB } from '@holdfast/base';

/** A shorter range is written sooner than it is reserved. */
const LEAST_BYTES = 8 * MiB;

export class SpaceReserver implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #stop = new AbortController();
  #reserving: Promise<void> = Promise.resolve();

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /**
   * Begins, after what was asked for before; never fails. Where the file system or the machine cannot do it, or space runs
   * out, the writes find that out.
   */
  reserve(ranges: readonly Extent[]): void {
    const long = ranges.filter(({ length }) => length >= LEAST_BYTES);
    if (long.length > 0) this.#reserving = this.#reserving.then(async () => await this.#run(long));
  }

  /** Nothing is reserved any more afterwards. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reserving;
  }

  async #run(ranges: readonly Extent[]): Promise<void> {
    if (this.#stop.signal.aborted) return;
    // By descriptor: whatever becomes of the path, no other file is touched.
    const child = spawn('xargs', ['-0', '-n', '5', 'fallocate', '--keep-size'], {
      stdio: ['pipe', 'ignore', 'ignore', this.#handle.fd],
      signal: this.#stop.signal,
    });
    const ended = once(child, 'close').catch(() => undefined);
    child.stdin?.on('error', () => undefined);
    const words = ranges.flatMap(({ offset, length }) => ['-o', offset, '-l', length, '/proc/self/fd/3']);
    child.stdin?.end(words.map((word) => `${word}\0`).join(''));
    await ended;
  }
}

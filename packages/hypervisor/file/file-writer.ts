/**
 * Writes to one file: past the page cache where a DirectWriter takes the piece, through it otherwise.
 *
 * Through the cache few at once: the kernel lets one writer at a time into a file and the others spin for its lock. With
 * 16 writers that was a third of a restore's system time; with one, the disk waits for the event loop between two
 * writes; two measured best. (Pushing dirty pages out early, by fdatasync beside the writes, cost more than it gained.)
 */
import type { FileHandle } from 'node:fs/promises';
import type { DirectWriter } from './direct-writer.ts';

const WRITERS = 2;

type Piece = { readonly from: Buffer; readonly offset: number; readonly signal: AbortSignal | undefined };

export class FileWriter {
  readonly #handle: FileHandle;
  readonly #direct: DirectWriter | undefined;
  readonly #inFlight = new Set<Promise<unknown>>();
  /** The end of each writer's queue; never rejected. */
  readonly #turns: Promise<void>[] = Array.from({ length: WRITERS }, () => Promise.resolve());
  #next = 0;

  constructor(handle: FileHandle, direct?: DirectWriter) {
    this.#handle = handle;
    this.#direct = direct;
  }

  /** Writes all of `from`. Order among calls is not kept. @throws system errors, the abort reason */
  async write(piece: Piece): Promise<void> {
    const writing = this.#write(piece);
    const settled = writing.catch(() => undefined);
    this.#inFlight.add(settled);
    try {
      await writing;
    } finally {
      this.#inFlight.delete(settled);
    }
  }

  /** Nothing is in flight afterwards. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  async #write(piece: Piece): Promise<void> {
    const { from, offset, signal } = piece;
    signal?.throwIfAborted();
    if (this.#direct?.takes({ offset, length: from.length }) && (await this.#direct.write(piece))) return;
    const writer = this.#next;
    this.#next = (writer + 1) % WRITERS;
    const turn = this.#turns[writer]!.then(async () => await this.#writeCached(piece));
    this.#turns[writer] = turn.catch(() => undefined);
    await turn;
  }

  async #writeCached({ from, offset, signal }: Piece): Promise<void> {
    for (let done = 0; done < from.length; ) {
      signal?.throwIfAborted();
      done += (await this.#handle.write(from, done, from.length - done, offset + done)).bytesWritten;
    }
  }
}

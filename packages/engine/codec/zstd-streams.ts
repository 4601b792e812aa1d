/**
 * zstd contexts that are used again and again. node:zlib makes a context and several objects for each call of
 * `zstdCompress`; at 1 MiB a call that filled the garbage collector (15 % of a full backup's CPU as measured) and cost
 * page faults. A stream whose default flush is `end` makes one complete frame of each write, on libuv's pool.
 */
import { constants, createZstdCompress, createZstdDecompress, type ZstdCompress, type ZstdDecompress } from 'node:zlib';
import { MiB } from '@holdfast/base';

/**
 * zstd works in one pass without copying only while the output buffer has room for the worst case. A buffer is filled by
 * several results before the next one is made, so with 8 MiB nine of ten 1 MiB chunks have that room; with 1 MiB hardly
 * any has (a tenth more CPU as measured).
 */
const compressedBytes = 8 * MiB;
/** A whole number of chunks of every size that the format knows. */
const plainBytes = 4 * MiB;

/** Where node:zlib's streams put their output. Not documented, so nothing but speed may depend on it. */
type OutputOf = { _outBuffer: Buffer; _outOffset: number; _chunkSize: number };

export type ZstdRequest = {
  /** Exact length of the output, where it is known; anything else is an error. */
  readonly expectedBytes?: number;
  /**
   * Memory for the output, longer than it by some bytes: warm memory, where fresh one costs a page fault for every 4 KiB
   * (a fifth of a restore's CPU as measured). A stream takes all its requests with such memory, or none. What comes
   * out is nearly always a view of it, but need not be.
   */
  readonly into?: Buffer | undefined;
};

class ZstdStream {
  readonly #stream: ZstdCompress | ZstdDecompress;
  #parts: Buffer[] = [];
  #bytes = 0;
  #expectedBytes: number | undefined;
  #settle: ((error: Error | null | undefined) => void) | undefined;

  constructor(stream: ZstdCompress | ZstdDecompress) {
    this.#stream = stream;
    stream.on('data', (part: Buffer) => {
      this.#parts.push(part);
      this.#bytes += part.length;
      if (this.#expectedBytes !== undefined && this.#bytes > this.#expectedBytes) {
        stream.destroy(new RangeError(`more than ${this.#expectedBytes} bytes came out`));
      }
    });
    // Damaged input arrives here; the write's callback may not be called then.
    stream.on('error', (error) => this.#settle?.(error));
  }

  /** One call at a time. After a rejection the stream is of no more use. */
  async run(input: Buffer, { expectedBytes, into }: ZstdRequest): Promise<Buffer[]> {
    this.#expectedBytes = expectedBytes;
    if (into)
      Object.assign<object, OutputOf>(this.#stream, { _outBuffer: into, _outOffset: 0, _chunkSize: into.length });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#settle = (error) => (error ? reject(error) : resolve());
        this.#stream.write(input, this.#settle);
      });
      if (expectedBytes !== undefined && this.#bytes !== expectedBytes) {
        // The context waits for the rest of a frame that is cut short; it must not meet the next one.
        this.#stream.destroy();
        throw new RangeError(`${this.#bytes} bytes came out instead of ${expectedBytes}`);
      }
      return this.#parts;
    } finally {
      this.#parts = [];
      this.#bytes = 0;
      this.#settle = undefined;
    }
  }
}

export class ZstdStreams {
  readonly #create: () => ZstdCompress | ZstdDecompress;
  readonly #idle: ZstdStream[] = [];

  constructor(create: () => ZstdCompress | ZstdDecompress) {
    this.#create = create;
  }

  /** What comes out for one complete input, in parts. As many contexts exist as calls were ever in flight at once. */
  async run(input: Buffer, request: ZstdRequest = {}): Promise<Buffer[]> {
    const stream = this.#idle.pop() ?? new ZstdStream(this.#create());
    const parts = await stream.run(input, request);
    this.#idle.push(stream);
    return parts;
  }
}

export function compressorsOf(level: number): ZstdStreams {
  const params = { [constants.ZSTD_c_compressionLevel]: level };
  return new ZstdStreams(() => createZstdCompress({ params, chunkSize: compressedBytes, flush: constants.ZSTD_e_end }));
}

export function decompressors(): ZstdStreams {
  return new ZstdStreams(() => createZstdDecompress({ chunkSize: plainBytes }));
}

/**
 * A socket whose bytes go where they belong with as few copies as possible: through one small scratch buffer while the
 * protocol is parsed, and straight from the kernel into the final buffer while a long payload arrives.
 */
import type { OnReadOpts, Socket } from 'node:net';
import { KiB } from '@holdfast/base';

/** The reader of a socket. One at a time; replaced between handshake and transmission. */
export interface ByteSink {
  /** Takes bytes from the scratch buffer, all of them, before it returns. */
  consume(bytes: Buffer): void;
  /** Where the next bytes go directly; undefined = through the scratch buffer. Never empty. */
  direct(): Buffer | undefined;
  /** `count` bytes are at the front of what `direct` gave last. */
  directReceived(count: number): void;
}

/** Large enough for a hundred headers, small enough that little payload is copied twice. */
const SCRATCH_BYTES = 64 * KiB;

export class ByteSocket {
  readonly #socket: Socket;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #target: Buffer = this.#scratch;
  #sink: ByteSink;

  /** @param connect makes the socket with the `onread` options given; they must be part of its creation. */
  constructor(sink: ByteSink, connect: (onread: OnReadOpts) => Socket) {
    this.#sink = sink;
    this.#socket = connect({
      buffer: () => {
        this.#target = this.#sink.direct() ?? this.#scratch;
        return this.#target;
      },
      callback: (count) => {
        if (this.#target === this.#scratch) this.#sink.consume(this.#scratch.subarray(0, count));
        else this.#sink.directReceived(count);
        return true;
      },
    });
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** From now on bytes go to `sink`. The sink before must not be in the middle of a `direct` transfer. */
  set sink(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Hands the parts to the kernel together; `whenSent` is called once they are no longer needed (or the socket fell). */
  send(parts: readonly Buffer[], whenSent?: () => void): void {
    if (this.#socket.destroyed) {
      whenSent?.();
      return;
    }
    this.#socket.cork();
    parts.forEach((part, index) => {
      this.#socket.write(part, index === parts.length - 1 ? () => whenSent?.() : undefined);
    });
    this.#socket.uncork();
  }
}

/** Reads a socket in exact portions with its own flow control: what nobody asks for stays in the kernel. */
import type { Socket } from 'node:net';

export class SocketReader {
  readonly #socket: Socket;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const ended = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('end', ended).on('close', ended);
    socket.on('readable', () => this.#wake());
  }

  /** Exactly `length` bytes, or undefined when the peer has gone before. One call at a time. */
  async read(length: number): Promise<Buffer | undefined> {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes = this.#socket.read(length) as Buffer | null;
      if (bytes !== null) return bytes.length === length ? bytes : undefined;
      if (this.#ended || this.#socket.destroyed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Reads and drops; false when the peer has gone before. */
  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0; ) {
      const bytes = await this.read(Math.min(left, 64 * 1024));
      if (!bytes) return false;
      left -= bytes.length;
    }
    return true;
  }
}

/** One request between its sending and its last reply chunk: what has come, what went wrong, whom to tell. */
import type { CommandName } from '../protocol.ts';
import { ReadCoverage } from './read-coverage.ts';

/** A run of one metadata context, as the server sent it. */
export type NbdExtent = { readonly length: number; readonly flags: number };

export type RequestSpec = {
  readonly command: CommandName;
  readonly offset: number;
  readonly length: number;
  readonly flags?: number;
  /** Of a read: exactly `length` bytes. */
  readonly into?: Buffer;
  /** Of a write: exactly `length` bytes. */
  readonly from?: Buffer;
  readonly signal?: AbortSignal | undefined;
};

export type NbdReply = {
  /** Of a block status: extents by context id. */
  readonly extents: ReadonlyMap<number, readonly NbdExtent[]>;
};

export type InFlightOptions = {
  readonly spec: RequestSpec;
  readonly cookieLow: number;
  readonly resolve: (reply: NbdReply) => void;
  readonly reject: (error: unknown) => void;
  /** Called when an abort has to wait for a buffer that the kernel holds. */
  readonly onStuck: () => void;
};

export class InFlightRequest {
  readonly spec: RequestSpec;
  readonly coverage: ReadCoverage | undefined;
  readonly extents = new Map<number, readonly NbdExtent[]>();
  /** First error of the server; further chunks may follow it. */
  failure: { readonly errno: number; readonly message: string } | undefined;
  /** The caller has been told the abort; what still comes is thrown away. */
  abandoned = false;
  readonly cookieLow: number;
  readonly #options: InFlightOptions;
  readonly #stopListening: () => void;
  /** How often the caller's buffer is in the hands of the kernel: as `into` of an arriving payload, as `from` unsent. */
  #pins = 0;
  #aborted: { readonly reason: unknown } | undefined;

  constructor(options: InFlightOptions) {
    const { spec } = options;
    this.spec = spec;
    this.cookieLow = options.cookieLow;
    this.coverage = spec.into && new ReadCoverage(spec.length);
    this.#options = options;
    const { signal } = spec;
    const onAbort = (): void => {
      this.#aborted = { reason: signal?.reason };
      this.#tellAbort();
      if (!this.abandoned) options.onStuck();
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#stopListening = () => signal?.removeEventListener('abort', onAbort);
  }

  /** The kernel holds the caller's buffer from here to `unpin`; an abort waits that long. */
  pin(): void {
    this.#pins += 1;
  }

  unpin(): void {
    this.#pins -= 1;
    this.#tellAbort();
  }

  succeed(): void {
    this.#stopListening();
    this.#options.resolve({ extents: this.extents });
  }

  fail(error: unknown): void {
    this.#stopListening();
    this.#options.reject(this.#aborted ? this.#aborted.reason : error);
  }

  #tellAbort(): void {
    if (!this.#aborted || this.#pins > 0 || this.abandoned) return;
    this.abandoned = true;
    this.#stopListening();
    this.#options.reject(this.#aborted.reason);
  }
}

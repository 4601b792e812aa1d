/** At most so many calls at once; the others wait in the order they came. */

export class ConnectionLimit {
  #free: number;
  readonly #waiting: Array<() => void> = [];

  constructor(connections: number) {
    if (!(connections >= 1)) throw new RangeError('A connection limit must be at least one.');
    this.#free = connections;
  }

  /** Runs `call` when its turn comes. @throws signal.reason when aborted while waiting; `call` has not begun then */
  async run<Result>(signal: AbortSignal | undefined, call: () => Promise<Result>): Promise<Result> {
    await this.#enter(signal);
    try {
      return await call();
    } finally {
      const next = this.#waiting.shift();
      // The place is handed over, not freed: nobody who comes now overtakes.
      if (next) next();
      else this.#free += 1;
    }
  }

  #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const onTurn = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(onTurn), 1);
        reject(signal?.reason);
      };
      this.#waiting.push(onTurn);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/**
 * A token bucket, kept as the time at which it will have paid off what was taken. Taking more than the bucket holds is
 * allowed and goes into debt, so objects larger than one second's share pass, at the right average rate.
 */
import type { Clock } from '@holdfast/base';
import type { Sleep } from './sleep.ts';

export type RateLimitOptions = {
  /** Requests or bytes. */
  readonly perSecond: number;
  /** What may be taken at once after a pause, in seconds of the rate. Default 1. */
  readonly burstSeconds?: number;
  readonly clock: Clock;
  readonly sleep: Sleep;
};

export class RateLimit {
  readonly #perMs: number;
  readonly #burstMs: number;
  readonly #clock: Clock;
  readonly #sleep: Sleep;
  /** Monotonic time at which everything taken so far is paid off. */
  #paidAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: RateLimitOptions) {
    if (!(options.perSecond > 0)) throw new RangeError('A rate limit must be above zero.');
    this.#perMs = options.perSecond / 1000;
    this.#burstMs = (options.burstSeconds ?? 1) * 1000;
    this.#clock = options.clock;
    this.#sleep = options.sleep;
  }

  /** Waits its turn (first come, first served), then takes `amount`. An aborted wait takes nothing. */
  async take(amount: number, signal: AbortSignal | undefined): Promise<void> {
    const costMs = this.#costMs(amount);
    const nowMs = this.#clock.monotonicMs();
    const beginMs = this.#book(costMs, nowMs);
    // What is larger than the bucket needs a full one, not an impossible one.
    const waitMs = beginMs + Math.min(costMs, this.#burstMs) - this.#burstMs - nowMs;
    if (waitMs <= 0) return;
    try {
      await this.#sleep({ ms: waitMs, signal });
    } catch (error) {
      this.#paidAtMs -= costMs;
      throw error;
    }
  }

  /** Takes without waiting what turned out only afterwards; those who come next wait for it. */
  charge(amount: number): void {
    this.#book(this.#costMs(amount), this.#clock.monotonicMs());
  }

  #costMs(amount: number): number {
    return amount / this.#perMs;
  }

  /** Gives the time at which everything taken before is paid off. */
  #book(costMs: number, nowMs: number): number {
    const beginMs = Math.max(this.#paidAtMs, nowMs);
    this.#paidAtMs = beginMs + costMs;
    return beginMs;
  }
}

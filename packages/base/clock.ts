/** Time and randomness come in as arguments, so that tests decide them. */
export interface Clock {
  /** Wall clock, milliseconds since 1970 UTC. For labels; nothing's safety depends on it. */
  nowMs(): number;
  /** Monotonic milliseconds, for durations and rates. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

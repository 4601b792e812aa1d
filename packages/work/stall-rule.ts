/**
 * When a task counts as stuck, as a pure rule: nothing heard of its worker, or no progress though it is heard. Stuck is told
 * first and taken back only after a grace, within which a worker that was cut off, or whose server was down, can show itself.
 */

/** No heartbeat for so long: semantics.md 33. Workers send one every 15 s. */
export const SILENT_LIMIT_MS = 10 * 60_000;

/** No progress for so long; a disk of a TiB may take longer in all. */
export const IDLE_LIMIT_MS = 2 * 3_600_000;

export const GRACE_MS = 5 * 60_000;

export type Signs = {
  readonly nowMs: number;
  readonly heartbeatMs: number;
  readonly progressMs: number;
  /** Since when it counts as stalled; undefined when it does not. */
  readonly stalledMs: number | undefined;
};

export function judge({ nowMs, heartbeatMs, progressMs, stalledMs }: Signs): 'alive' | 'stalled' | 'lost' {
  if (nowMs - heartbeatMs < SILENT_LIMIT_MS && nowMs - progressMs < IDLE_LIMIT_MS) return 'alive';
  return stalledMs !== undefined && nowMs - stalledMs >= GRACE_MS ? 'lost' : 'stalled';
}

/**
 * Rate and time left out of progress reports. The rate is that of the last seconds, because a disk's holes pass in no
 * time and its data does not; the time left comes from the same window.
 */

/** Long enough to smooth over packs and pauses, short enough to follow a change. */
const windowMs = 8000;
/** Before this much time has passed nothing is foretold. */
const leastMs = 500;

export type ProgressReport = { readonly doneBytes: number; readonly totalBytes: number };

export type ProgressEstimate = {
  readonly bytesPerSecond: number;
  /** Undefined as long as it would be a guess. */
  readonly remainingMs: number | undefined;
};

export class ProgressRate {
  readonly #samples: { readonly atMs: number; readonly doneBytes: number }[] = [];

  /** @param atMs monotonic */
  add(report: ProgressReport, atMs: number): ProgressEstimate {
    this.#samples.push({ atMs, doneBytes: report.doneBytes });
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - windowMs) this.#samples.shift();
    const first = this.#samples[0]!;
    const elapsedMs = atMs - first.atMs;
    if (elapsedMs < leastMs) return { bytesPerSecond: 0, remainingMs: undefined };
    const bytesPerMs = (report.doneBytes - first.doneBytes) / elapsedMs;
    return {
      bytesPerSecond: Math.round(bytesPerMs * 1000),
      remainingMs: bytesPerMs > 0 ? (report.totalBytes - report.doneBytes) / bytesPerMs : undefined,
    };
  }
}

/** 0 to 100, one decimal, rounded down: 100 is said only when all is done. */
export function percentOf({ doneBytes, totalBytes }: ProgressReport): number {
  return totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 1000) / 10;
}

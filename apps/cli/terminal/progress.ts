/**
 * Progress of one long step. On a terminal a line on stderr that is drawn over itself; with --json objects on stdout;
 * otherwise nothing, because nobody watches a log.
 */
import { type Clock, formatBytes } from '@holdfast/base';
import { formatDuration, formatRate } from './format.ts';
import { percentOf, ProgressRate, type ProgressReport } from './progress-rate.ts';

/** Faster drawing only costs time and flickers. */
const drawEveryMs = 100;
const jsonEveryMs = 1000;

export interface Progress extends Disposable {
  /** Called as often as the work likes. `more` are further numbers, for --json only (snake_case names). */
  update(report: ProgressReport, more?: Readonly<Record<string, number>>): void;
}

export type ProgressSink =
  | { readonly kind: 'none' }
  | { readonly kind: 'json'; readonly write: (content: object) => void }
  | {
      readonly kind: 'terminal';
      /** Replaces the line that stands last on the terminal. */
      readonly draw: (line: string) => void;
      /** Leaves the line where it is. */
      readonly keep: () => void;
    };

/** Disposing leaves one line that says how it ended; disposing twice is allowed. @param title what happens: "backup" */
export function startProgress(options: {
  readonly sink: ProgressSink;
  readonly title: string;
  readonly clock: Clock;
}): Progress {
  const { sink, title, clock } = options;
  const startedMs = clock.monotonicMs();
  const rate = new ProgressRate();
  let shownMs = Number.NEGATIVE_INFINITY;
  let last: ProgressReport | undefined;
  const isDue = (everyMs: number): boolean => {
    const nowMs = clock.monotonicMs();
    if (nowMs - shownMs < everyMs) return false;
    shownMs = nowMs;
    return true;
  };
  return {
    update(report, more) {
      last = report;
      if (sink.kind === 'json' && isDue(jsonEveryMs)) {
        sink.write(progressObject(title, report, rate.add(report, shownMs), more));
      }
      if (sink.kind === 'terminal' && isDue(drawEveryMs)) {
        sink.draw(progressLine(title, report, rate.add(report, shownMs)));
      }
    },
    [Symbol.dispose]() {
      if (sink.kind !== 'terminal' || !last) return;
      sink.draw(finalLine(title, last, clock.monotonicMs() - startedMs));
      sink.keep();
      last = undefined;
    },
  };
}

type Estimate = ReturnType<ProgressRate['add']>;

function progressObject(
  title: string,
  report: ProgressReport,
  estimate: Estimate,
  more: Readonly<Record<string, number>> | undefined,
): object {
  return {
    type: 'progress',
    step: title,
    done_bytes: report.doneBytes,
    total_bytes: report.totalBytes,
    percent: percentOf(report),
    bytes_per_second: estimate.bytesPerSecond,
    remaining_ms: estimate.remainingMs === undefined ? null : Math.round(estimate.remainingMs),
    ...more,
  };
}

/** "backup   42.1 %  2.53 GiB of 6.00 GiB  312.00 MiB/s  11.2 s left". */
export function progressLine(title: string, report: ProgressReport, estimate: Estimate): string {
  const parts = [
    `${title}  ${percentOf(report).toFixed(1).padStart(5)} %`,
    `${formatBytes(report.doneBytes)} of ${formatBytes(report.totalBytes)}`,
    ...(estimate.bytesPerSecond > 0 ? [formatRate(estimate.bytesPerSecond, 1000)] : []),
    ...(estimate.remainingMs === undefined ? [] : [`${formatDuration(estimate.remainingMs)} left`]),
  ];
  return parts.join('  ');
}

function finalLine(title: string, report: ProgressReport, durationMs: number): string {
  const { doneBytes, totalBytes } = report;
  const amount =
    doneBytes >= totalBytes ? formatBytes(totalBytes) : `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  return `${title}  ${percentOf(report).toFixed(1).padStart(5)} %  ${amount} in ${formatDuration(durationMs)}  ${formatRate(doneBytes, durationMs)}`;
}

/** Many histories after the other, added up; and what a failed one looks like to its reader. */
import { FailedHistory, type HistoryReport, runHistory } from './history-fixture.ts';

/** Operations of one history: long enough for points to be purged, collected and to come again, short enough to read. */
export const historyOperations = 300;
/** Of the calls and events before a failure. */
const tailLines = 150;

export type Tally = {
  histories: number;
  operations: number;
  calls: number;
  readonly byKind: Record<string, number>;
  readonly faults: Record<string, number>;
  readonly outcomes: Record<string, number>;
};

export function emptyTally(): Tally {
  return { histories: 0, operations: 0, calls: 0, byKind: {}, faults: {}, outcomes: {} };
}

export function addTo(tally: Tally, { operations, faults, outcomes, calls }: HistoryReport): void {
  tally.histories += 1;
  tally.operations += Object.values(operations).reduce((sum, count) => sum + count, 0);
  tally.calls += calls;
  addCounts(tally.byKind, operations);
  addCounts(tally.faults, faults);
  addCounts(tally.outcomes, outcomes);
}

function addCounts(into: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) into[name] = (into[name] ?? 0) + count;
}

/** Runs the seeds one after the other as long as `goOn` says so. @throws FailedHistory */
export async function runSeeds(options: {
  readonly firstSeed: number;
  readonly goOn: (tally: Tally) => boolean;
}): Promise<Tally> {
  const tally = emptyTally();
  for (let seed = options.firstSeed; options.goOn(tally); seed += 1) {
    addTo(tally, await runHistory({ seed, operations: historyOperations }));
  }
  return tally;
}

/** The failure of the same seed with the fewest operations, as far as halving finds it. */
export async function shrink(failure: FailedHistory): Promise<FailedHistory> {
  let smallest = failure;
  let passes = 0;
  while (smallest.operations - passes > 1) {
    const operations = Math.floor((passes + smallest.operations) / 2);
    const outcome = await runHistory({ seed: failure.seed, operations }).catch((error: unknown) => error);
    if (outcome instanceof FailedHistory) smallest = outcome;
    else passes = operations;
  }
  return smallest;
}

/** Seed, what was broken, and the last of what happened before. */
export function describeFailure({ message, trace, cause }: FailedHistory): string {
  const skipped = Math.max(0, trace.length - tailLines);
  const causes: string[] = [];
  for (let one: unknown = cause; one instanceof Error; one = one.cause) causes.push(one.stack ?? one.message);
  return [
    message,
    ...causes,
    `the last ${trace.length - skipped} of ${trace.length} events:`,
    ...trace.slice(skipped),
  ].join('\n');
}

/** Medians and ranges of what was measured. */
import type { Measurement, Work } from './works.ts';

export type Spread = { readonly median: number; readonly min: number; readonly max: number };

export type Summary = {
  readonly contender: string;
  readonly work: Work;
  readonly runs: number;
  readonly wallMs: Spread;
  readonly cpuMs: Spread;
  readonly peakBytes: Spread;
  readonly readBytes: Spread;
  readonly writtenBytes: Spread;
  readonly syncMs?: Spread;
  readonly storedBytes?: Spread;
  readonly putBytes?: Spread;
  readonly sourceReadBytes?: Spread;
};

/** One summary for each contender and work, in the order of first appearance. */
export function summarize(measurements: readonly Measurement[]): readonly Summary[] {
  const groups = Map.groupBy(measurements, (measurement) => `${measurement.contender} ${measurement.work}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : [summaryOf(first, group)];
  });
}

export function findSummary(summaries: readonly Summary[], contender: string, work: Work): Summary | undefined {
  return summaries.find((summary) => summary.contender === contender && summary.work === work);
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = (sorted.length - 1) / 2;
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  return { median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2, min: at(0), max: at(sorted.length - 1) };
}

function summaryOf(first: Measurement, group: readonly Measurement[]): Summary {
  const usage = (pick: (measurement: Measurement) => number): Spread => spreadOf(group.map(pick));
  const optional = (
    name: 'syncMs' | 'storedBytes' | 'putBytes' | 'sourceReadBytes',
  ): Partial<Record<typeof name, Spread>> => {
    const values = group.map((measurement) => measurement[name]).filter((value) => value !== undefined);
    return values.length === 0 ? {} : { [name]: spreadOf(values) };
  };
  return {
    contender: first.contender,
    work: first.work,
    runs: group.length,
    wallMs: usage((measurement) => measurement.usage.wallMs),
    cpuMs: usage((measurement) => measurement.usage.cpuMs),
    peakBytes: usage((measurement) => measurement.usage.peakBytes),
    readBytes: usage((measurement) => measurement.usage.readBytes),
    writtenBytes: usage((measurement) => measurement.usage.writtenBytes),
    ...optional('syncMs'),
    ...optional('storedBytes'),
    ...optional('putBytes'),
    ...optional('sourceReadBytes'),
  };
}

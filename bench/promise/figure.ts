/** A promised number beside what was measured, and the table of them that a bench prints. */
import { aligned } from '../contest/report.ts';

export type Verdict = 'PASS' | 'MISS';

export type Figure = {
  readonly title: string;
  /** What the value is made of, for the reader: "6.10 s / 15.20 s". */
  readonly shown: string;
  readonly value: number;
  /** `atMost` or `atLeast`, in the value's unit. */
  readonly limit: { readonly atMost: number } | { readonly atLeast: number };
  readonly unit: 's' | 'MiB' | 'x';
  readonly verdict: Verdict;
};

export function figure(request: Omit<Figure, 'verdict'>): Figure {
  const { value, limit } = request;
  const isReached = 'atMost' in limit ? value <= limit.atMost : value >= limit.atLeast;
  return { ...request, verdict: isReached ? 'PASS' : 'MISS' };
}

export function figuresTable(figures: readonly Figure[]): readonly string[] {
  const number = (value: number, unit: Figure['unit']): string => `${value.toFixed(decimals[unit])} ${unit}`;
  const rows = figures.map(({ title, shown, value, limit, unit, verdict }) => [
    title,
    shown,
    number(value, unit),
    'atMost' in limit ? `<= ${limit.atMost} ${unit}` : `>= ${limit.atLeast} ${unit}`,
    verdict,
  ]);
  return aligned([['number', 'of', 'value', 'limit', ''], ...rows]);
}

const decimals = { s: 2, MiB: 0, x: 3 } as const;

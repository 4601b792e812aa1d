/** One promise about looking after a repository, and how it is put to the test. */

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

export type CareTrial = {
  readonly id: string;
  readonly title: string;
  readonly run: (ground: CareGround) => Promise<readonly Figure[]>;
};

export type CareGround = {
  /** Empty at first; removed afterwards. */
  readonly dir: string;
  /** Multiplies the sizes; 1 is what is promised, less is for a quick look. */
  readonly scale: number;
  /** How often what is compared is run. */
  readonly rounds: number;
  /** Says what is going on. */
  readonly note: (line: string) => void;
  readonly signal: AbortSignal;
};

export function figure(request: Omit<Figure, 'verdict'>): Figure {
  const { value, limit } = request;
  const isReached = 'atMost' in limit ? value <= limit.atMost : value >= limit.atLeast;
  return { ...request, verdict: isReached ? 'PASS' : 'MISS' };
}

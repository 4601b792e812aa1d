/** One promise about looking after a repository, and how it is put to the test. */
import type { Figure } from '../promise/figure.ts';

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

/** One situation whose peak memory is promised. */
import type { RunOptions } from '../process/run.ts';

export type Trial = {
  readonly id: string;
  readonly title: string;
  /** Prepares everything in `dir`, and answers the one command that is measured. */
  readonly prepare: (ground: TrialGround) => Promise<Omit<RunOptions, 'input'>>;
};

export type TrialGround = {
  /** Empty at first; removed afterwards. */
  readonly dir: string;
  /** Multiplies the sizes; 1 is what is promised, less is for a quick look. */
  readonly scale: number;
  readonly signal: AbortSignal;
};

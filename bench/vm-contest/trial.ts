/** One promise about running machines, and how it is put to the test. */
import { formatBytes } from '@holdfast/base';
import type { BenchImage } from '../image/build.ts';
import type { Usage } from '../process/timed-run.ts';
import type { Figure } from '../promise/figure.ts';

export type VmTrial = {
  readonly id: string;
  readonly title: string;
  readonly run: (ground: VmGround) => Promise<readonly Figure[]>;
};

export type VmGround = {
  /** Empty at first; removed afterwards. */
  readonly dir: string;
  /** The image of `bench/peers`, which is built when it is asked for the first time. */
  readonly image: () => Promise<BenchImage>;
  /** How often what is compared is run. */
  readonly rounds: number;
  /** Says what is going on. */
  readonly note: (line: string) => void;
  readonly signal: AbortSignal;
};

export function usageText({ wallMs, cpuMs, peakBytes }: Usage): string {
  return `${secondsText(wallMs)}, CPU ${secondsText(cpuMs)}, ${formatBytes(peakBytes)}`;
}

export function secondsText(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

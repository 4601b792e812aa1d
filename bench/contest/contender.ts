/** The port that Holdfast and every peer implement for `bench/peers`. */
import type { BenchImage } from '../image/build.ts';
import type { ChangePattern } from '../image/change-plan.ts';
import type { Work } from './works.ts';

export type Contender = {
  readonly id: string;
  readonly title: string;
  /** Programs that must be on the PATH (or absolute), with the arguments that print their version. */
  readonly program: readonly [string, ...string[]];
  /** Goes through all its works once, in a fresh folder. */
  readonly compete: (stage: Stage) => Promise<void>;
};

/** What a contender gets for one round. */
export type Stage = {
  readonly image: BenchImage;
  /** A raw copy of the image that may be changed. */
  readonly disk: WorkingDisk;
  /** Empty at first; removed after the round. */
  readonly dir: string;
  readonly round: number;
  /** Commands before and between the works, which are not timed. */
  readonly prepare: (command: Command) => Promise<string>;
  /** Reads `warm` into the page cache, syncs, runs and records. @returns what the program printed. */
  readonly measure: (work: MeasuredWork) => Promise<string>;
  /** Compares byte by byte, then deletes `restored`. @throws Error when they differ. */
  readonly check: (options: { readonly restored: string; readonly expected: string }) => Promise<void>;
  readonly signal: AbortSignal;
};

export type Command = {
  readonly command: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
};

export type MeasuredWork = Command & {
  readonly work: Work;
  /** Files and folders that it reads. */
  readonly warm?: readonly string[];
  /** File or folder whose size is what is stored. Given for backups, absent for restores. */
  readonly repository?: string;
  readonly sourceReadBytes?: (stdout: string) => number | undefined;
};

export type WorkingDisk = {
  readonly dir: string;
  readonly name: string;
  readonly path: string;
  /** A new modification time and nothing else, so that nobody skips the file by its times. */
  readonly touch: () => Promise<void>;
  /** With the change in place while `use` runs, taken back afterwards. */
  readonly whileChanged: (pattern: ChangePattern, use: () => Promise<void>) => Promise<void>;
};

/** What is measured, and the record of one measurement. */
import type { Usage } from '../process/timed-run.ts';

/**
 * `full` into an empty repository; `rescan` of the same image with a new modification time; `scattered` and `runs`, the
 * next backup after 1 % changed; `restore` of the full backup to a new raw file; `version`, the start of the program.
 */
export const works = ['full', 'rescan', 'scattered', 'runs', 'restore', 'version'] as const;
export type Work = (typeof works)[number];

export type Measurement = {
  readonly contender: string;
  readonly work: Work;
  readonly round: number;
  readonly usage: Usage;
  /** Time of the `sync` right after a backup: what the program left in the page cache. */
  readonly syncMs?: number;
  /** Sum of the sizes of all files of the repository afterwards, and how much this work added. */
  readonly storedBytes?: number;
  readonly putBytes?: number;
  /** Bytes read from the disk image by the program's own account. */
  readonly sourceReadBytes?: number;
};

export function workTitle(work: Work): string {
  switch (work) {
    case 'full':
      return 'full';
    case 'rescan':
      return 'rescan, nothing changed';
    case 'scattered':
      return '1 % changed, 64 KiB writes';
    case 'runs':
      return '1 % changed, 1 MiB runs';
    case 'restore':
      return 'restore to a new raw file';
    case 'version':
      return '--version';
    default:
      return work satisfies never;
  }
}

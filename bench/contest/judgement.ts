/** The numbers that the project promises, and whether this run reached them. Medians of one run are compared. */
import { KiB, MiB } from '@holdfast/base';
import type { ChangePattern } from '../image/change-plan.ts';
import { findSummary, type Summary } from './summary.ts';
import type { Work } from './works.ts';

export type Verdict = 'PASS' | 'MISS' | 'not measured';

export type Judged = {
  readonly title: string;
  /** What the value is made of, for the reader: "6.10 s / 15.20 s". */
  readonly shown: string;
  readonly value: number | undefined;
  readonly limit: number;
  readonly unit: 'x' | 'ms';
  readonly verdict: Verdict;
};

export type JudgeOptions = {
  readonly summaries: readonly Summary[];
  /** Bytes of the whole chunks that each change touches, at Holdfast's chunk size. */
  readonly dirtyChunkBytes: Readonly<Record<ChangePattern, number>>;
};

export function judge(options: JudgeOptions): readonly Judged[] {
  const { summaries, dirtyChunkBytes } = options;
  const wall = (contender: string, work: Work): number | undefined =>
    findSummary(summaries, contender, work)?.wallMs.median;
  const version = wall('holdfast', 'version');
  const times = (title: string, ours: number | undefined, theirs: number | undefined, limit: number): Judged =>
    ratio({ title, ours, theirs, limit, show: seconds });
  const increment = (pattern: ChangePattern): number | undefined => {
    const measured = wall('holdfast', pattern);
    return measured === undefined || version === undefined ? undefined : measured - version;
  };
  const bytes = (contender: string, work: Work, name: 'storedBytes' | 'sourceReadBytes'): number | undefined =>
    findSummary(summaries, contender, work)?.[name]?.median;
  const sizes = (title: string, ours: number | undefined, theirs: number | undefined, limit: number): Judged =>
    ratio({ title, ours, theirs, limit, show: mebibytes });

  const full = wall('holdfast', 'full');
  // Not all make sure of it themselves.
  const untilOnDisk = (contender: string): number | undefined => {
    const found = findSummary(summaries, contender, 'restore');
    return found?.syncMs && found.wallMs.median + found.syncMs.median;
  };
  const restore = untilOnDisk('holdfast');
  const stored = bytes('holdfast', 'full', 'storedBytes');
  const read = (pattern: ChangePattern): number | undefined => bytes('holdfast', pattern, 'sourceReadBytes');
  return [
    times('full backup / restic', full, wall('restic', 'full'), 0.35),
    times('full backup / borg zstd,1', full, wall('borg-zstd', 'full'), 0.75),
    times('full backup / limit', full, wall('limit', 'full'), 1.4),
    times('rescan, nothing changed / restic', wall('holdfast', 'rescan'), wall('restic', 'rescan'), 0.3),
    times('1 % in 64 KiB writes / restic', increment('scattered'), wall('restic', 'scattered'), 0.1),
    times('1 % in 1 MiB runs / restic', increment('runs'), wall('restic', 'runs'), 0.1),
    sizes('bytes read / dirty chunks, 64 KiB writes', read('scattered'), dirtyChunkBytes.scattered, 1.2),
    sizes('bytes read / dirty chunks, 1 MiB runs', read('runs'), dirtyChunkBytes.runs, 1.2),
    times('restore to a new raw file, until it is on disk / restic', restore, untilOnDisk('restic'), 0.4),
    times('restore to a new raw file, until it is on disk / borg zstd,1', restore, untilOnDisk('borg-zstd'), 0.4),
    sizes('stored after the full backup / restic', stored, bytes('restic', 'full', 'storedBytes'), 1.2),
    times('full backup, encrypted / not encrypted', wall('holdfast-encrypted', 'full'), full, 1.15),
    absolute({ title: 'holdfast --version', value: version, limit: 150 }),
  ];
}

function ratio(options: {
  readonly title: string;
  readonly ours: number | undefined;
  readonly theirs: number | undefined;
  readonly limit: number;
  readonly show: (value: number) => string;
}): Judged {
  const { title, ours, theirs, limit, show } = options;
  if (ours === undefined || theirs === undefined) {
    return { title, shown: '', value: undefined, limit, unit: 'x', verdict: 'not measured' };
  }
  const value = ours / theirs;
  const verdict = value <= limit ? 'PASS' : 'MISS';
  return { title, shown: `${show(ours)} / ${show(theirs)}`, value, limit, unit: 'x', verdict };
}

function absolute(options: {
  readonly title: string;
  readonly value: number | undefined;
  readonly limit: number;
}): Judged {
  const { title, value, limit } = options;
  const verdict = value === undefined ? 'not measured' : value <= limit ? 'PASS' : 'MISS';
  return { title, shown: '', value, limit, unit: 'ms', verdict };
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

function mebibytes(sizeBytes: number): string {
  return sizeBytes < MiB ? `${(sizeBytes / KiB).toFixed(0)} KiB` : `${(sizeBytes / MiB).toFixed(0)} MiB`;
}

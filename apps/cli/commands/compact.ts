/** `holdfast compact`: out of packs that are mostly dead, what is live goes into new ones. */
import { formatBytes } from '@holdfast/base';
import { type CompactReport, compact } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount } from '../terminal/format.ts';
import { cacheDirectory } from '../wiring/cache-directory.ts';
import { parseBytes, parsePercent } from '../wiring/parse-values.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'compact',
    summary: 'Copy what is live out of packs that are mostly dead',
    details:
      'Deleted points leave packs behind of which other points need only a part. That part is copied into new packs; the\n' +
      'old ones go with the next holdfast collect, which is when space becomes free. Points stay as they are, and a run\n' +
      'that was ended is carried on by the next one.',
    arguments: {},
    options: {
      ...repositoryOptions,
      dryRun: { summary: 'Only say what would be done' },
      maxBytes: { value: 'BYTES', summary: 'Most bytes to copy in this run, such as 50G' },
      cache: { value: 'DIR', completes: 'directory', summary: 'Where to keep what was read (default: XDG cache)' },
      threshold: { value: 'PERCENT', summary: 'Compact packs of which less than this is live (default: 50)' },
    },
  },
  async ({ options, context }) => {
    const { output, clock, signal } = context;
    const { dryRun } = options;
    const maxBytes = options.maxBytes === undefined ? undefined : parseBytes('--max-bytes', options.maxBytes);
    const thresholdPercent =
      options.threshold === undefined ? undefined : parsePercent('--threshold', options.threshold);
    await using opened = await openSelectedRepository(options, context);
    const startedMs = clock.monotonicMs();
    using progress = output.progress('compact');
    const report = await compact({
      repository: opened.repository,
      cacheDirectory: cacheDirectory(context, options.cache),
      dryRun,
      maxBytes,
      thresholdPercent,
      signal,
      onProgress: (step) => progress.update(step),
    });
    progress[Symbol.dispose]();
    const { packs, copiedBytes, newPacks, left, damaged } = report;
    if (damaged.length > 0) {
      output.warn(`${formatCount(damaged.length, 'pack')} left alone because of damage: run holdfast verify.`);
    }
    output.result(
      {
        dry_run: dryRun,
        packs,
        copied_bytes: copiedBytes,
        new_packs: newPacks,
        left,
        damaged_packs: damaged,
        duration_ms: Math.round(clock.monotonicMs() - startedMs),
      },
      lineOf(report, dryRun),
    );
  },
);

function lineOf({ packs, copiedBytes, newPacks, left }: CompactReport, dryRun: boolean): string {
  const rest = left.count > 0 ? `; ${formatCount(left.count, 'pack')} left for the next run` : '';
  if (packs.count === 0) return `Nothing to compact${rest}`;
  const what = `${formatBytes(copiedBytes)} out of ${formatCount(packs.count, 'pack')} of ${formatBytes(packs.bytes)}`;
  return dryRun
    ? `Would copy ${what}${rest}`
    : `Copied ${what} into ${newPacks}; holdfast collect frees the old ones${rest}`;
}

/** `holdfast collect`: purge the trash, and free what no point needs. */
import { formatBytes, HoldfastError, isId } from '@holdfast/base';
import { type CollectReport, collect, defaultTrashDays, maximumTrashDays } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount } from '../terminal/format.ts';
import { cacheDirectory } from '../wiring/cache-directory.ts';
import { parseBytes, parseDuration, parseWhole } from '../wiring/parse-values.ts';
import { openSelectedRepository } from '../wiring/repository.ts';
import { holderLine, sessionFields } from '../wiring/session-report.ts';

export const command = defineCommand(
  {
    name: 'collect',
    summary: 'Purge the trash and free what no point needs',
    details:
      'Safe beside backups, restores and other collections: what a session may still use stays until it has ended. A run\n' +
      'that does not wait for that ends well, and the next one carries on. Sessions of processes that are known to be\n' +
      'dead on this host are ended by itself; of those on other hosts their owner must say so, with --fence.',
    arguments: {},
    options: {
      ...repositoryOptions,
      dryRun: { summary: 'Only say what would be done' },
      trashDays: {
        value: 'DAYS',
        summary: `How long deleted points stay in the trash: 0 to ${maximumTrashDays} (default: ${defaultTrashDays})`,
      },
      wait: { value: 'DURATION', summary: 'How long to wait for running sessions, such as 30m (default: not at all)' },
      fence: { value: 'SESSION', repeatable: true, summary: 'Declare this session dead: its host is gone for good' },
      fenceOlderThan: { value: 'DURATION', summary: 'Declare every session dead that is older, such as 7d' },
      maxBytes: { value: 'BYTES', summary: 'Free at most this much in this run, such as 500G' },
      acceptVanished: { summary: 'Go on although restore points are gone that nobody deleted' },
      cache: { value: 'DIR', completes: 'directory', summary: 'Where to keep what was read (default: XDG cache)' },
    },
  },
  async ({ options, context }) => {
    const { output, clock, signal } = context;
    const { dryRun } = options;
    for (const session of options.fence) {
      if (isId('ses', session)) continue;
      throw new HoldfastError('usage', `"${session}" is not a session id.`, {
        remedy: 'holdfast repo check lists the sessions (ses_...).',
      });
    }
    const duration = (option: string, text: string | undefined) =>
      text === undefined ? undefined : parseDuration(option, text);
    await using opened = await openSelectedRepository(options, context);
    const startedMs = clock.monotonicMs();
    const report = await collect({
      repository: opened.repository,
      cacheDirectory: cacheDirectory(context, options.cache),
      dryRun,
      trashDays: options.trashDays === undefined ? undefined : parseWhole('--trash-days', options.trashDays),
      waitMs: duration('--wait', options.wait),
      fence: options.fence,
      fenceOlderThanMs: duration('--fence-older-than', options.fenceOlderThan),
      maxBytes: options.maxBytes === undefined ? undefined : parseBytes('--max-bytes', options.maxBytes),
      acceptVanished: options.acceptVanished,
      signal,
    });
    output.result(
      {
        dry_run: dryRun,
        purged_points: report.purgedPoints,
        void_points: report.voidPoints,
        stored: report.stored,
        condemned: report.condemned,
        deleted: report.deleted,
        taken_back: report.takenBack,
        left: report.left,
        open_epochs: report.openEpochs,
        held_back_by: report.heldBackBy.map(sessionFields),
        fenced_sessions: report.fencedSessions,
        leftovers: report.leftovers,
        duration_ms: Math.round(clock.monotonicMs() - startedMs),
      },
      linesOf(report, dryRun).join('\n'),
    );
  },
);

function linesOf(report: CollectReport, dryRun: boolean): readonly string[] {
  const { purgedPoints, voidPoints, condemned, deleted, takenBack, left, openEpochs, heldBackBy, leftovers } = report;
  const sum = ({ packs, bytes }: CollectReport['deleted']) => `${formatCount(packs, 'pack')}, ${formatBytes(bytes)}`;
  const some = (count: number, line: string): readonly string[] => (count > 0 ? [line] : []);
  return [
    ...some(report.fencedSessions.length, `ended      ${formatCount(report.fencedSessions.length, 'dead session')}`),
    ...some(
      purgedPoints.length,
      `${dryRun ? 'to purge  ' : 'purged    '} ${formatCount(purgedPoints.length, 'point')}`,
    ),
    ...some(voidPoints.length, `void       ${formatCount(voidPoints.length, 'point')} that never counted`),
    dryRun ? `would free ${sum(condemned)}` : `freed      ${sum(deleted)}`,
    ...some(takenBack, `taken back ${formatCount(takenBack, 'pack')} in use again`),
    ...some(left.packs, `left       ${sum(left)} for the next run`),
    ...some(leftovers, `leftovers  ${formatCount(leftovers, 'object')} of crashed runs`),
    ...some(
      dryRun ? 0 : openEpochs.length,
      `waiting    ${sum(condemned)} condemned now; the next run carries on when these have ended:`,
    ),
    ...heldBackBy.map((holder) => `  ${holderLine(holder)}`),
  ];
}

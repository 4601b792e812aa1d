/** `holdfast delete`: points into the trash. */
import { formatBytes } from '@holdfast/base';
import { checkResource } from '@holdfast/engine';
import { choosePoints, defaultTrashDays, deletePoints, previewDeletion } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount } from '../terminal/format.ts';
import { cacheDirectory } from '../wiring/cache-directory.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'delete',
    summary: 'Put restore points into the trash',
    details:
      'Any point, in any order: no other point is touched, and no data is moved. holdfast undelete brings a point back\n' +
      'until holdfast collect has purged it, a week later unless it is told otherwise; then its space becomes free.',
    arguments: {
      points: { repeatable: true, summary: 'Ids, beginnings of ids, or latest together with --resource' },
    },
    options: {
      ...repositoryOptions,
      resource: { value: 'NAME', summary: 'Without a point: every point of this volume or instance' },
      dryRun: { summary: 'Only say which points would go, and what would become free' },
      cache: {
        value: 'DIR',
        completes: 'directory',
        summary: 'Where --dry-run keeps what it read (default: XDG cache)',
      },
    },
  },
  async ({ args, options, context }) => {
    const { output, signal } = context;
    const { dryRun } = options;
    const resource = options.resource === undefined ? undefined : checkResource(options.resource);
    await using opened = await openSelectedRepository(options, context);
    const { repository } = opened;
    const points = await choosePoints({ repository, words: args.points, resource, state: 'available', signal });
    const preview = dryRun
      ? await previewDeletion({
          repository,
          points,
          cacheDirectory: cacheDirectory(context, options.cache),
          signal,
        })
      : undefined;
    if (!dryRun) await deletePoints({ repository, points, signal });
    const freed = preview && {
      freed_packs: preview.freed.packs,
      freed_bytes: preview.freed.bytes,
      dead_chunks: preview.dead.chunks,
      dead_bytes: preview.dead.bytes,
    };
    output.result(
      {
        dry_run: dryRun,
        points: points.map(({ pointId, resource: of }) => ({ point: pointId, resource: of })),
        ...freed,
      },
      [
        ...points.map(({ pointId, resource: of }) => `${pointId} of ${of}`),
        preview
          ? `Would delete ${formatCount(points.length, 'point')}. Once purged, ${formatBytes(preview.freed.bytes)} become free with collect` +
            (preview.dead.chunks > 0 ? `, and ${formatBytes(preview.dead.bytes)} more can with compact.` : '.')
          : `${formatCount(points.length, 'point')} in the trash. holdfast collect purges what is there for ${defaultTrashDays} days.`,
      ].join('\n'),
    );
  },
);

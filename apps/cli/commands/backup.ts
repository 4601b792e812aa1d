/** `holdfast backup`: one restore point of one or several disks. */
import { HoldfastError, isId } from '@holdfast/base';
import type { findPoint, Repository, RestorePoint } from '@holdfast/engine';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { startOpeningBackupDisks } from '../wiring/backup-disks.ts';
import { backupFields, backupText } from '../wiring/backup-report.ts';
import { selectDisks } from '../wiring/disk-selection.ts';

export const command = defineCommand(
  {
    name: 'backup',
    summary: 'Back up disks into a new restore point',
    details:
      'SOURCE is an image file, a block device, nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH, and becomes disk vda.\n' +
      'Several disks in one point: --disk vda=SOURCE --disk vdb=SOURCE; --bitmap and --changed then take vda=...\n' +
      'The source must stand still: a stopped machine, a snapshot, or an export of a backup job.',
    arguments: { source: { summary: 'The disk to read', completes: 'file' } },
    options: {
      ...repositoryOptions,
      resource: { value: 'NAME', required: true, summary: 'What the point is of: volumes/NAME or instances/NAME' },
      disk: { value: 'DISK=SOURCE', repeatable: true, summary: 'One of several disks' },
      parent: { value: 'POINT', summary: 'Increment: the earlier point (an id, its beginning, or latest)' },
      bitmap: { value: '[DISK=]NAME', repeatable: true, summary: 'Dirty bitmap with the changes since the parent' },
      changed: {
        value: '[DISK=]FILE',
        repeatable: true,
        summary: 'JSON file with the extents changed since the parent',
      },
      format: { value: 'FORMAT', choices: ['raw', 'qcow2'], summary: 'Of image files (default: found out)' },
      profile: {
        value: 'NAME',
        choices: ['default', 'database', 'archive'],
        summary: "Chunk size: 1 MiB, 256 KiB or 4 MiB (default: the parent's or the repository's)",
      },
      archive: { summary: 'Compress harder (zstd level 3)' },
      label: { value: 'TEXT', summary: 'Shown in the list of points' },
      consistency: {
        value: 'KIND',
        choices: ['crash', 'filesystem', 'application'],
        summary: 'What was quiesced when the source was taken (default: crash)',
      },
      fence: { value: 'SESSION', summary: 'First declare this session dead: its host is gone for good' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const selected = selectDisks({
      source: args.source,
      disks: options.disk,
      bitmaps: options.bitmap,
      changed: options.changed,
    });
    if (options.parent === undefined && selected.some(({ changes }) => changes.kind !== 'unknown')) {
      throw new HoldfastError('usage', 'Changes were named, but not the restore point that they count from.', {
        remedy: 'Add --parent with the point made when the bitmap or the file of changes began; or leave them out.',
      });
    }
    if (options.fence !== undefined && !isId('ses', options.fence)) {
      throw new HoldfastError('usage', `"${options.fence}" is not a session id.`, {
        remedy: 'Take the id from the message that says who backs the resource up (ses_...).',
      });
    }
    const startedMs = clock.monotonicMs();
    // The engine takes longer to load than qemu to start.
    await using sources = startOpeningBackupDisks({ selected, format: options.format, context });
    const [engine, { openSelectedRepository }] = await Promise.all([
      import('@holdfast/engine'),
      import('../wiring/repository.ts'),
    ]);
    const resource = engine.checkResource(options.resource);
    await using opened = await openSelectedRepository(options, context);
    const { repository } = opened;
    const before = opened.usage();
    if (options.fence !== undefined) await engine.fenceSession(repository, options.fence, signal);
    const parent = await findParent({ find: engine.findPoint, repository, resource, parent: options.parent, signal });
    const { disks } = await sources.opened;
    using progress = output.progress('backup');
    const outcome = await engine.backup({
      repository,
      resource,
      disks,
      parent,
      label: options.label,
      consistency: options.consistency ?? 'crash',
      chunkBytes: options.profile && engine.chunkProfiles[options.profile],
      level: options.archive ? engine.compressionLevels.archive : undefined,
      signal,
      onProgress: ({ readBytes, putBytes, ...report }) =>
        progress.update(report, { read_bytes: readBytes, put_bytes: putBytes }),
    });
    progress[Symbol.dispose]();
    for (const warning of outcome.warnings) output.warn(warning);
    const durationMs = clock.monotonicMs() - startedMs;
    const figures = { outcome, before, after: opened.usage(), durationMs };
    output.result(backupFields(figures), backupText(figures));
  },
);

async function findParent(request: {
  readonly find: typeof findPoint;
  readonly repository: Repository;
  readonly resource: string;
  readonly parent: string | undefined;
  readonly signal: AbortSignal;
}): Promise<RestorePoint | undefined> {
  const { find, repository, resource, parent, signal } = request;
  if (parent === undefined) return undefined;
  // An id of another resource is found here and refused by the engine, which says so.
  return await find({ repository, point: parent, signal, ...(parent === 'latest' && { resource }) });
}

/** `holdfast restore`: a point's disk onto a new target, or in place. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, HoldfastError } from '@holdfast/base';
import { findPoint, type ManifestDisk, type Repository, type RestorePoint } from '@holdfast/engine';
import { type RestoreOutcome, restoreDisk } from '@holdfast/engine/restore';
import { type ImageFormat, parseBlockLocation } from '@holdfast/hypervisor';
import { openBlockTarget } from '@holdfast/hypervisor/target';
import { repositoryOptions } from '../command/common-options.ts';
import type { Context } from '../command/invocation.ts';
import { defineCommand } from '../command/specification.ts';
import { formatDuration, formatRate } from '../terminal/format.ts';
import { chooseDisk } from '../wiring/choose-disk.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'restore',
    summary: 'Bring a disk of a restore point back',
    details:
      'The target is a file, a block device, nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH. One that exists needs\n' +
      '--force and is restored in place: it is read first, and only what differs is written.',
    arguments: { point: { required: true, summary: 'Id, the beginning of one, or latest together with --resource' } },
    options: {
      ...repositoryOptions,
      to: { value: 'TARGET', completes: 'file', summary: 'Where the disk goes' },
      toDir: { value: 'DIR', completes: 'directory', summary: 'Write every disk of the point into this directory' },
      disk: { value: 'DISK', summary: 'Which disk; may be left out when the point has one' },
      format: { value: 'FORMAT', choices: ['raw', 'qcow2'], summary: 'Of image files (default: raw)' },
      resource: { value: 'NAME', summary: 'The volume or instance that latest is of' },
      force: { summary: 'Overwrite a target that exists' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const { to, toDir, format = 'raw', force } = options;
    if ((to === undefined) === (toDir === undefined)) {
      throw new HoldfastError('usage', 'Exactly one of --to and --to-dir says where the disks go.');
    }
    if (to !== undefined) parseBlockLocation(to);
    await using opened = await openSelectedRepository(options, context);
    const { repository } = opened;
    const point = await findPoint({ repository, point: args.point, resource: options.resource, signal });
    const targets =
      to === undefined
        ? await targetsInside({ directory: toDir!, point, disk: options.disk, format })
        : [{ disk: chooseDisk(point, options.disk), to }];
    const results = [];
    for (const { disk, to: target } of targets) {
      const startedMs = clock.monotonicMs();
      const outcome = await restoreOne({ repository, point, disk, to: target, format, force, context });
      results.push({ disk: disk.name, to: target, outcome, durationMs: clock.monotonicMs() - startedMs });
    }
    output.result(
      {
        point: point.manifest.id,
        resource: point.manifest.resource,
        disks: results.map(({ disk, to: target, outcome, durationMs }) => ({
          name: disk,
          to: target,
          format,
          size_bytes: outcome.sizeBytes,
          written_bytes: outcome.writtenBytes,
          zero_bytes: outcome.zeroBytes,
          kept_bytes: outcome.keptBytes,
          fetched_bytes: outcome.fetchedBytes,
          duration_ms: Math.round(durationMs),
        })),
      },
      results.map(restoreLine).join('\n'),
    );
  },
);

type DiskTarget = { readonly disk: ManifestDisk; readonly to: string };

async function targetsInside(request: {
  readonly directory: string;
  readonly point: RestorePoint;
  readonly disk: string | undefined;
  readonly format: ImageFormat;
}): Promise<readonly DiskTarget[]> {
  const { directory, point, disk, format } = request;
  const disks = disk === undefined ? point.manifest.disks : [chooseDisk(point, disk)];
  await mkdir(directory, { recursive: true }).catch((cause: unknown) => {
    throw new HoldfastError('target_unwritable', `The directory ${directory} cannot be made.`, { cause });
  });
  return disks.map((chosen) => ({ disk: chosen, to: join(directory, `${chosen.name}.${format}`) }));
}

async function restoreOne(request: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly disk: ManifestDisk;
  readonly to: string;
  readonly format: ImageFormat;
  readonly force: boolean;
  readonly context: Context;
}): Promise<RestoreOutcome> {
  const { repository, point, disk, to, format, force, context } = request;
  const { signal } = context;
  await using target = await openBlockTarget({
    location: parseBlockLocation(to),
    format,
    sizeBytes: disk.size_bytes,
    overwrite: force,
    signal,
  });
  using progress = context.output.progress(`restore ${disk.name}`);
  return await restoreDisk({
    repository,
    point,
    disk: disk.name,
    target,
    signal,
    onProgress: ({ fetchedBytes, ...report }) => progress.update(report, { fetched_bytes: fetchedBytes }),
  });
}

function restoreLine(result: {
  readonly disk: string;
  readonly to: string;
  readonly outcome: RestoreOutcome;
  readonly durationMs: number;
}): string {
  const { disk, to, outcome, durationMs } = result;
  const { sizeBytes, writtenBytes, zeroBytes, keptBytes } = outcome;
  const parts = [
    `${formatBytes(writtenBytes)} written`,
    `${formatBytes(zeroBytes)} zero`,
    ...(keptBytes > 0 ? [`${formatBytes(keptBytes)} was right already`] : []),
  ];
  return `Restored ${disk} to ${to}: ${formatBytes(sizeBytes)} in ${formatDuration(durationMs)} (${formatRate(sizeBytes, durationMs)}); ${parts.join(', ')}`;
}

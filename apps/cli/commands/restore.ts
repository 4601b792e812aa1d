/** `holdfast restore`: a point's disk onto a new target, or in place. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, HoldfastError, makeDirectories } from '@holdfast/base';
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
      '--force and is restored in place: it is read first, and only what differs is written. A point that has lost\n' +
      'something is not restored, unless --best-effort brings what there is: it says what is not.',
    arguments: { point: { required: true, summary: 'Id, the beginning of one, or latest together with --resource' } },
    options: {
      ...repositoryOptions,
      to: { value: 'TARGET', completes: 'file', summary: 'Where the disk goes' },
      toDir: { value: 'DIR', completes: 'directory', summary: 'Write every disk of the point into this directory' },
      disk: { value: 'DISK', summary: 'Which disk; may be left out when the point has one' },
      format: { value: 'FORMAT', choices: ['raw', 'qcow2'], summary: 'Of image files (default: raw)' },
      resource: { value: 'NAME', summary: 'The volume or instance that latest is of' },
      force: { summary: 'Overwrite a target that exists' },
      bestEffort: { summary: 'Leave out what cannot be read, name it, and end with exit code 1' },
      report: { value: 'FILE', completes: 'file', summary: 'Where --best-effort writes what it left out, as JSON' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const { to, toDir, format = 'raw', force, bestEffort } = options;
    if ((to === undefined) === (toDir === undefined)) {
      throw new HoldfastError('usage', 'Exactly one of --to and --to-dir says where the disks go.');
    }
    if (to !== undefined) parseBlockLocation(to);
    if (options.report !== undefined && !bestEffort) {
      throw new HoldfastError('usage', '--report is of what --best-effort leaves out.');
    }
    await using opened = await openSelectedRepository(options, context);
    const { repository } = opened;
    const point = await findPoint({ repository, point: args.point, resource: options.resource, signal });
    const targets =
      to === undefined
        ? await targetsInside({ directory: toDir!, point, disk: options.disk, format })
        : [{ disk: chooseDisk(point, options.disk), to }];
    // Before anything is written: without its report, what was left out would be forgotten.
    await using report = options.report === undefined ? undefined : await openReport(options.report);
    if (bestEffort) {
      output.warn(
        `What cannot be read is left ${force ? 'as it is on a target that exists, zeros elsewhere' : 'as zeros'}.`,
      );
    }
    const results = [];
    for (const { disk, to: target } of targets) {
      const startedMs = clock.monotonicMs();
      const outcome = await restoreOne({ repository, point, disk, to: target, format, force, bestEffort, context });
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
          ...(bestEffort && { unreadable_bytes: unreadableBytesOf(outcome) }),
          duration_ms: Math.round(durationMs),
        })),
      },
      results.map(restoreLine).join('\n'),
    );
    const torn = results.filter(({ outcome }) => outcome.unreadable.length > 0);
    await report?.writeFile(
      `${JSON.stringify(
        {
          point: point.manifest.id,
          resource: point.manifest.resource,
          disks: results.map(({ disk, to: target, outcome }) => ({
            disk,
            to: target,
            size_bytes: outcome.sizeBytes,
            unreadable_bytes: unreadableBytesOf(outcome),
            unreadable: outcome.unreadable,
          })),
        },
        null,
        2,
      )}\n`,
    );
    if (torn.length === 0) return;
    const lost = torn.map(({ disk, outcome }) => `${formatBytes(unreadableBytesOf(outcome))} of ${disk}`).join(', ');
    throw new HoldfastError('restore_incomplete', `${lost} cannot be read: ${torn[0]!.outcome.unreadable[0]!.reason}`, {
      facts: { disks: torn.map(({ disk }) => disk) },
    });
  },
);

async function openReport(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'w');
  } catch (cause) {
    throw new HoldfastError('target_unwritable', `The report ${path} cannot be written.`, { cause });
  }
}

function unreadableBytesOf({ unreadable }: RestoreOutcome): number {
  return unreadable.reduce((sum, { length }) => sum + length, 0);
}

type DiskTarget = { readonly disk: ManifestDisk; readonly to: string };

async function targetsInside(request: {
  readonly directory: string;
  readonly point: RestorePoint;
  readonly disk: string | undefined;
  readonly format: ImageFormat;
}): Promise<readonly DiskTarget[]> {
  const { directory, point, disk, format } = request;
  const disks = disk === undefined ? point.manifest.disks : [chooseDisk(point, disk)];
  await makeDirectories(directory).catch((cause: unknown) => {
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
  readonly bestEffort: boolean;
  readonly context: Context;
}): Promise<RestoreOutcome> {
  const { repository, point, disk, to, format, force, bestEffort, context } = request;
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
    bestEffort,
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
    ...(outcome.unreadable.length > 0 ? [`${formatBytes(unreadableBytesOf(outcome))} could not be read`] : []),
    ...(keptBytes > 0 ? [`${formatBytes(keptBytes)} was right already`] : []),
  ];
  return `Restored ${disk} to ${to}: ${formatBytes(sizeBytes)} in ${formatDuration(durationMs)} (${formatRate(sizeBytes, durationMs)}); ${parts.join(', ')}`;
}

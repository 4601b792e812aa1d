/** `holdfast copy`: points of one repository in another one as well. */
import { formatBytes, HoldfastError } from '@holdfast/base';
import { checkResource, type RestorePoint } from '@holdfast/engine';
import {
  assertAllCopied,
  type CopiedPoint,
  type CopyOptions,
  type CopyPlan,
  type CopyReport,
  copyPoints,
  planCopy,
} from '@holdfast/engine/care';
import type { StorageUsage } from '@holdfast/storage';
import { repositoryOptions } from '../command/common-options.ts';
import type { Context } from '../command/invocation.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount, formatDuration, formatLocalTime } from '../terminal/format.ts';
import { targetPassphrase } from '../wiring/passphrase.ts';
import { type OpenedRepository, openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'copy',
    summary: 'Copy restore points to another repository',
    details:
      'Each copy is complete and independent of the storage it came from; keys, encryption and hash may differ. What the\n' +
      'target has already is skipped, and of the rest only chunks that it lacks are fetched. The target repository is\n' +
      'made with repo init.',
    arguments: {
      point: { repeatable: true, summary: 'Ids or their beginnings, or latest together with --resource' },
    },
    options: {
      ...repositoryOptions,
      to: { value: 'URL', required: true, summary: 'Where the repository lies that gets the copies' },
      toPassphraseFile: {
        value: 'FILE',
        completes: 'file',
        summary: 'File that holds the passphrase of the target (default: HOLDFAST_TO_PASSPHRASE, or asked for)',
      },
      resource: { value: 'NAME', summary: 'Every point of this volume or instance' },
      all: { summary: 'Every point' },
      dryRun: { summary: 'Only say which points are missing in the target' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const { all, dryRun } = options;
    const points = args.point;
    const resource = options.resource === undefined ? undefined : checkResource(options.resource);
    if (all ? points.length > 0 || resource !== undefined : points.length === 0 && resource === undefined) {
      throw new HoldfastError('usage', 'It is not said what to copy.', {
        remedy: 'Name points, or a volume or instance with --resource, or everything with --all: one of them.',
      });
    }
    if (options.storage === options.to) {
      throw new HoldfastError('usage', 'Source and target are the same storage.', {
        remedy: 'Name another repository with --to.',
      });
    }
    const startedMs = clock.monotonicMs();
    await using source = await openSelectedRepository(options, context);
    await using target = await openTarget(options, context);
    const request: CopyOptions = {
      source: source.repository,
      target: target.repository,
      points: points.length === 0 ? undefined : points,
      resource,
      signal,
    };
    if (dryRun) {
      const plan = await planCopy(request);
      output.result(planFields(plan), planText(plan));
      assertAllCopied(plan);
      return;
    }
    const before = { source: source.usage(), target: target.usage() };
    using progress = output.progress('copy');
    const report = await copyPoints({
      ...request,
      onProgress: ({ readBytes, putBytes, ...step }) =>
        progress.update(step, { read_bytes: readBytes, put_bytes: putBytes }),
    });
    progress[Symbol.dispose]();
    for (const { warnings } of report.copies) for (const warning of warnings) output.warn(warning);
    for (const { error } of report.failed) output.warn(error.message);
    const figures = {
      report,
      fetchedBytes: bytesGot(before.source, source.usage()),
      putBytes: target.usage().bytesPut - before.target.bytesPut,
      durationMs: clock.monotonicMs() - startedMs,
    };
    output.result(reportFields(figures), reportText(figures));
    assertAllCopied(report);
  },
);

/** Its passphrase is asked for apart from the source's. */
async function openTarget(
  options: {
    readonly to: string;
    readonly toPassphraseFile: string | undefined;
    readonly limitRate: string | undefined;
  },
  context: Context,
): Promise<OpenedRepository> {
  const { to: storage, toPassphraseFile: passphraseFile, limitRate } = options;
  return await openSelectedRepository({ storage, passphraseFile, limitRate }, context, {
    variable: targetPassphrase,
    option: '--to-passphrase-file',
    question: 'Passphrase of the target: ',
  });
}

function bytesGot(before: StorageUsage, after: StorageUsage): number {
  return after.bytesGot - before.bytesGot;
}

type Figures = {
  readonly report: CopyReport;
  /** Of the source. */
  readonly fetchedBytes: number;
  /** Of the target. */
  readonly putBytes: number;
  readonly durationMs: number;
};

/** Stable: scripts depend on it. */
function reportFields({ report, fetchedBytes, putBytes, durationMs }: Figures): object {
  const { copies, failed } = report;
  return {
    copied: copies.filter(({ isNew }) => isNew).map(copyFields),
    skipped: copies.filter(({ isNew }) => !isNew).map(copyFields),
    failed: failedFields(failed),
    fetched_bytes: fetchedBytes,
    put_bytes: putBytes,
    duration_ms: Math.round(durationMs),
  };
}

function planFields({ missing, there, failed }: CopyPlan): object {
  return {
    missing: missing.map(({ manifest }) => ({
      point: manifest.id,
      resource: manifest.resource,
      created_at: manifest.created_at,
      size_bytes: sizeOf(manifest),
    })),
    skipped: there.map(copyFields),
    failed: failedFields(failed),
  };
}

function copyFields({ from, to, warnings }: CopiedPoint): object {
  const { id, resource, created_at: createdAt } = from.manifest;
  return { point: id, copy: to.manifest.id, resource, created_at: createdAt, warnings };
}

function failedFields(failed: CopyReport['failed']): readonly object[] {
  return failed.map(({ pointId, resource, error }) => ({
    point: pointId,
    resource,
    code: error.code,
    detail: error.message,
  }));
}

function reportText({ report, fetchedBytes, putBytes, durationMs }: Figures): string {
  const copied = report.copies.filter(({ isNew }) => isNew);
  const skipped = report.copies.length - copied.length;
  const lines = copied.map(({ from, to }) => `${pointText(from)} -> ${to.manifest.id}`);
  const parts = [
    `${formatCount(copied.length, 'point')} copied`,
    `${skipped} there already`,
    ...(report.failed.length > 0 ? [`${report.failed.length} failed`] : []),
  ];
  const amounts = `${formatBytes(fetchedBytes)} fetched, ${formatBytes(putBytes)} stored`;
  return [...lines, `${parts.join(', ')}; ${amounts} in ${formatDuration(durationMs)}`].join('\n');
}

function planText({ missing, there }: CopyPlan): string {
  const sizeBytes = missing.reduce((sum, { manifest }) => sum + sizeOf(manifest), 0);
  const summary = `${formatCount(missing.length, 'point')} to copy (disks of ${formatBytes(sizeBytes)}), ${there.length} there already`;
  return [...missing.map(pointText), summary].join('\n');
}

function pointText({ manifest }: RestorePoint): string {
  return `${manifest.id} of ${manifest.resource}, ${formatLocalTime(manifest.created_at)}`;
}

function sizeOf({ disks }: RestorePoint['manifest']): number {
  return disks.reduce((sum, { size_bytes: sizeBytes }) => sum + sizeBytes, 0);
}

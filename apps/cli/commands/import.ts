/** `holdfast import`: a foreign image as a legacy point, which belongs to no series. */
import { backup, checkResource } from '@holdfast/engine';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { openBackupDisks } from '../wiring/backup-disks.ts';
import { backupFields, backupText } from '../wiring/backup-report.ts';
import { parseTime } from '../wiring/parse-values.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'import',
    summary: 'Take a foreign image in as a point of its own',
    details: 'It becomes a legacy point: complete and restorable like any other, but of no series.',
    arguments: { file: { required: true, completes: 'file', summary: 'The image (or any source that backup takes)' } },
    options: {
      ...repositoryOptions,
      resource: { value: 'NAME', required: true, summary: 'What it is of: volumes/NAME or instances/NAME' },
      label: { value: 'TEXT', summary: 'Shown in the list of points' },
      takenAt: { value: 'TIME', summary: 'When the image was made, such as 2026-11-21T09:55 (default: now)' },
      format: { value: 'FORMAT', choices: ['raw', 'qcow2'], summary: 'Of the image (default: found out)' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const resource = checkResource(options.resource);
    const takenAtMs = options.takenAt === undefined ? undefined : parseTime('--taken-at', options.takenAt, clock);
    const startedMs = clock.monotonicMs();
    await using opened = await openSelectedRepository(options, context);
    const before = opened.usage();
    const selected = [{ name: 'vda', source: args.file, changes: { kind: 'unknown' } }] as const;
    await using sources = await openBackupDisks({ selected, format: options.format, context });
    using progress = output.progress('import');
    const outcome = await backup({
      repository: opened.repository,
      resource,
      disks: sources.disks,
      origin: 'import',
      takenAtMs,
      label: options.label,
      signal,
      onProgress: ({ readBytes, putBytes, ...report }) =>
        progress.update(report, { read_bytes: readBytes, put_bytes: putBytes }),
    });
    progress[Symbol.dispose]();
    for (const warning of outcome.warnings) output.warn(warning);
    const figures = { outcome, before, after: opened.usage(), durationMs: clock.monotonicMs() - startedMs };
    output.result(backupFields(figures), backupText(figures));
  },
);

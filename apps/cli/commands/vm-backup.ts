/** `holdfast vm backup`: one restore point of a virtual machine, running or not. */
import { HoldfastError, hasCode } from '@holdfast/base';
import { connectionOptions, repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { backupFields, backupText } from '../wiring/backup-report.ts';
import { openMachines, scratchDirectory } from '../wiring/machines.ts';
import { parseDuration } from '../wiring/parse-values.ts';

const DEFAULT_HOOK = '/etc/holdfast/quiesce';
const HOOK_TIMEOUT_MS = 60_000;

export const command = defineCommand(
  {
    name: 'vm backup',
    summary: 'Back up a virtual machine into a new restore point',
    details:
      'All disks are of one moment. The guest goes on: its file systems are frozen for some tenths of a second, if its agent\n' +
      'answers. From the second point on only what changed is read. Definition, firmware and TPM are kept with the disks.\n' +
      'A program /etc/holdfast/quiesce in the guest is called with "freeze" before and "thaw" after that moment.',
    arguments: { name: { summary: 'Name or UUID of the machine', required: true } },
    options: {
      ...repositoryOptions,
      ...connectionOptions,
      disks: { value: 'WHICH', summary: 'all, primary (the first), or names such as vda,vdb (default: all)' },
      consistency: {
        value: 'POLICY',
        choices: ['require', 'prefer', 'never'],
        summary: 'Freeze the guest: or fail, if possible, or not at all (default: prefer)',
      },
      full: { summary: 'Begin a new series: read everything' },
      label: { value: 'TEXT', summary: 'Shown in the list of points' },
      resource: { value: 'NAME', summary: 'What the point is of (default: instances/ and the name of the machine)' },
      scratch: {
        value: 'DIR',
        completes: 'directory',
        summary: 'For what the guest overwrites meanwhile (default: /var/lib/holdfast/scratch)',
      },
      hook: { value: 'PATH', summary: `Program in the guest (default: ${DEFAULT_HOOK}, if it is there)` },
      hookTimeout: { value: 'DURATION', summary: 'For each of its two calls (default: 60s)' },
      archive: { summary: 'Compress harder (zstd level 3)' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const startedMs = clock.monotonicMs();
    const timeoutMs =
      options.hookTimeout === undefined ? HOOK_TIMEOUT_MS : parseDuration('--hook-timeout', options.hookTimeout);
    const [engine, { backupMachine }, { openSelectedRepository }] = await Promise.all([
      import('@holdfast/engine'),
      import('@holdfast/machine'),
      import('../wiring/repository.ts'),
    ]);
    const machines = await openMachines(options, context);
    const finding = machines.libvirt.domain(args.name, { signal });
    // Heard of below, once the repository is open: libvirt and the storage answer at the same time.
    finding.catch(() => undefined);
    await using opened = await openSelectedRepository(options, context);
    const { name } = await finding;
    const before = opened.usage();
    using progress = output.progress('backup');
    const outcome = await backupMachine({
      ...machines,
      machine: name,
      repository: opened.repository,
      resource: resourceOf(engine.checkResource, options.resource, name),
      disks: diskSelection(options.disks),
      consistency: options.consistency ?? 'prefer',
      hook: { path: options.hook ?? DEFAULT_HOOK, timeoutMs },
      isFull: options.full,
      label: options.label,
      level: options.archive ? engine.compressionLevels.archive : undefined,
      scratchDirectory: scratchDirectory(machines, options.scratch),
      signal,
      onProgress: ({ readBytes, putBytes, ...report }) =>
        progress.update(report, { read_bytes: readBytes, put_bytes: putBytes }),
    });
    progress[Symbol.dispose]();
    for (const warning of outcome.warnings) output.warn(warning);
    const figures = { outcome, before, after: opened.usage(), durationMs: clock.monotonicMs() - startedMs };
    const { consistency } = outcome.point.manifest;
    const frozenMs = outcome.frozenMs === undefined ? null : Math.round(outcome.frozenMs);
    output.result(
      { ...backupFields(figures), consistency, frozen_ms: frozenMs },
      `${consistencyText(consistency, frozenMs)}\n${backupText(figures)}`,
    );
  },
);

/** @throws resource_invalid; a machine may have a name that a resource cannot have */
function resourceOf(check: (text: string) => string, chosen: string | undefined, machine: string): string {
  if (chosen !== undefined) return check(chosen);
  try {
    return check(`instances/${machine}`);
  } catch (error) {
    if (!hasCode(error, 'resource_invalid')) throw error;
    throw new HoldfastError('resource_invalid', error.message, {
      cause: error,
      remedy: 'Give the points of this machine a name with --resource instances/NAME.',
    });
  }
}

function diskSelection(words: string | undefined): 'all' | 'primary' | readonly string[] {
  if (words === undefined || words === 'all') return 'all';
  return words === 'primary' ? words : words.split(',').map((word) => word.trim());
}

function consistencyText(consistency: 'application' | 'filesystem' | 'crash', frozenMs: number | null): string {
  const frozen = frozenMs === null ? '' : `, frozen for ${frozenMs} ms`;
  return {
    application: `Applications and file systems were quiet${frozen}`,
    filesystem: `File systems were quiet${frozen}`,
    crash: 'As after a loss of power: the guest was not frozen',
  }[consistency];
}

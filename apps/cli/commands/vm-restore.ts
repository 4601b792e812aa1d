/** `holdfast vm restore`: a machine back from a restore point, beside the one that is there or in its place. */
import { resolve } from 'node:path';
import { formatBytes, HoldfastError } from '@holdfast/base';
import { findPoint } from '@holdfast/engine';
import {
  type DiskProgress,
  type ReplacedDisk,
  type RestoredDisk,
  type RestoredMachine,
  restoreAsNewMachine,
  restoreInPlace,
  restoreToFile,
} from '@holdfast/machine/restore';
import { SnapshotJournal } from '@holdfast/hypervisor/snapshot';
import { connectionOptions, repositoryOptions } from '../command/common-options.ts';
import type { Context } from '../command/invocation.ts';
import { defineCommand } from '../command/specification.ts';
import { formatDuration } from '../terminal/format.ts';
import type { Progress } from '../terminal/progress.ts';
import { openMachines } from '../wiring/machines.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'vm restore',
    summary: 'Bring a virtual machine back from a restore point',
    details:
      'With --as NAME it becomes a new machine, with a UUID, MAC addresses and UEFI variables of its own, whose disks go to\n' +
      '--directory. Without it the machine of the point is restored in place: it must be shut down, gets fresh disks\n' +
      'beside the old ones, and the old ones are kept. With --to one disk becomes a new image, and no machine is touched.\n' +
      'A failure leaves nothing behind; after a crash the same command goes on.',
    arguments: { point: { required: true, summary: 'Id, the beginning of one, or latest together with --resource' } },
    options: {
      ...repositoryOptions,
      resource: { value: 'NAME', summary: 'The instance that latest is of: instances/NAME' },
      ...connectionOptions,
      as: { value: 'NAME', summary: 'Make a new machine of this name' },
      vm: { value: 'NAME', summary: 'Restore this machine in place (default: the one that the point is of)' },
      directory: {
        value: 'DIR',
        completes: 'directory',
        summary: 'Where the disks go: required with --as; in place by default beside the old ones',
      },
      to: { value: 'FILE', completes: 'file', summary: 'Only one disk, into this new image' },
      disk: { value: 'DISK', repeatable: true, summary: 'Only this disk; may be repeated (default: all of the point)' },
      format: {
        value: 'FORMAT',
        choices: ['raw', 'qcow2'],
        summary: 'Of the images (default: as the source was)',
      },
      start: { summary: 'Start the machine when it is restored' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const { as: name, vm, directory, to, disk: disks, format, start } = options;
    refuseWhatDoesNotFit(options);
    const startedMs = clock.monotonicMs();
    const machines = to === undefined ? await openMachines(options, context) : undefined;
    await using opened = await openSelectedRepository(options, context);
    const { repository } = opened;
    const point = await findPoint({ repository, point: args.point, resource: options.resource, signal });
    using progress = diskProgress(context);
    const shared = { repository, point, format, signal, onProgress: (report: DiskProgress) => progress.update(report) };
    const { id, resource } = point.manifest;
    if (!machines) {
      const disk = await restoreToFile({ ...shared, disk: disks[0], path: resolve(to!) });
      progress[Symbol.dispose]();
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      output.result({ point: id, resource, disks: [diskFields(disk)], duration_ms: durationMs }, diskLine(disk));
      return;
    }
    const { libvirt, stateDirectory } = machines;
    const restored: RestoredMachine & { readonly replaced?: readonly ReplacedDisk[] } =
      name === undefined
        ? await restoreInPlace({
            ...shared,
            libvirt,
            machine: vm,
            disks,
            directory: directory === undefined ? undefined : resolve(directory),
            journal: new SnapshotJournal({ stateDirectory }).overlays,
          })
        : await restoreAsNewMachine({ ...shared, libvirt, name, disks, directory: resolve(directory!) });
    progress[Symbol.dispose]();
    for (const warning of restored.warnings) output.warn(warning);
    if (start) await startRestored(restored, signal);
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    const { domain, nvramPath, warnings, replaced = [] } = restored;
    output.result(
      {
        point: id,
        resource,
        vm: domain.name,
        uuid: domain.uuid,
        mode: name === undefined ? 'in_place' : 'new',
        disks: restored.disks.map(diskFields),
        nvram: nvramPath ?? null,
        replaced: replaced.map(({ name: of, path }) => ({ name: of, path })),
        started: start,
        warnings,
        duration_ms: durationMs,
      },
      [
        ...restored.disks.map(diskLine),
        `Restored ${domain.name} from ${id} in ${formatDuration(durationMs)}${start ? '; it is started' : ''}`,
        ...keptLines(replaced),
      ].join('\n'),
    );
  },
);

/** @throws usage */
function refuseWhatDoesNotFit(options: {
  readonly as: string | undefined;
  readonly vm: string | undefined;
  readonly directory: string | undefined;
  readonly to: string | undefined;
  readonly disk: readonly string[];
  readonly start: boolean;
}): void {
  const { as: name, vm, directory, to, disk, start } = options;
  if (name !== undefined && directory === undefined) throw usage('--as needs --directory, where the disks go.');
  if (name !== undefined && vm !== undefined) throw usage('--as makes a new machine, --vm names one that exists.');
  if (to === undefined) return;
  if ([name, vm, directory].some((value) => value !== undefined) || start) {
    throw usage('--to restores one disk and no machine.');
  }
  if (disk.length > 1) throw usage('--to takes one disk.');
}

function usage(detail: string): HoldfastError {
  return new HoldfastError('usage', detail, { remedy: 'See holdfast vm restore --help.' });
}

/** One line of progress for each disk. */
function diskProgress({ output }: Context): Disposable & { update(progress: DiskProgress): void } {
  let now: { readonly disk: string; readonly progress: Progress } | undefined;
  const end = (): void => {
    now?.progress[Symbol.dispose]();
    now = undefined;
  };
  return {
    update({ disk, fetchedBytes, ...report }) {
      if (now?.disk !== disk) {
        end();
        now = { disk, progress: output.progress(`restore ${disk}`) };
      }
      now.progress.update(report, { fetched_bytes: fetchedBytes });
    },
    [Symbol.dispose]: end,
  };
}

/** It is restored whatever comes of this, and the error says so. */
async function startRestored({ domain }: RestoredMachine, signal: AbortSignal): Promise<void> {
  try {
    await domain.start({ signal });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    throw new HoldfastError(error.code, `${domain.name} is restored, but does not start: ${error.message}`, {
      cause: error,
      remedy: `Correct its definition (virsh edit ${domain.name}) and start it; it need not be restored again.`,
      facts: { vm: domain.name },
    });
  }
}

function diskFields({ name, path, format, outcome }: RestoredDisk): object {
  return {
    name,
    to: path,
    format,
    ...(outcome && {
      size_bytes: outcome.sizeBytes,
      written_bytes: outcome.writtenBytes,
      zero_bytes: outcome.zeroBytes,
      kept_bytes: outcome.keptBytes,
      fetched_bytes: outcome.fetchedBytes,
    }),
  };
}

function diskLine({ name, path, outcome }: RestoredDisk): string {
  if (!outcome) return `${name} in ${path} was restored already`;
  const { sizeBytes, writtenBytes, keptBytes } = outcome;
  const kept = keptBytes > 0 ? `, ${formatBytes(keptBytes)} was right already` : '';
  return `${name} to ${path}: ${formatBytes(sizeBytes)}, ${formatBytes(writtenBytes)} written${kept}`;
}

function keptLines(replaced: readonly ReplacedDisk[]): readonly string[] {
  if (replaced.length === 0) return [];
  const files = replaced.filter(({ path }) => path.startsWith('/'));
  return [
    'The old disks are kept. When the machine is as you want it, remove them:',
    ...replaced.map(({ name, path }) => `  ${name}: ${path}`),
    ...(files.length > 0 ? [`  rm ${files.map(({ path }) => quoted(path)).join(' ')}`] : []),
  ];
}

/** For a shell. */
function quoted(path: string): string {
  return /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}

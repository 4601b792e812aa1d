/** `holdfast vm snapshot restore`: the machine becomes what it was, on fresh disks. */
import { resolve } from 'node:path';
import { restoreVmSnapshot } from '@holdfast/machine/restore';
import { connectionOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { printable } from '../terminal/format.ts';
import { openMachine } from '../wiring/machine.ts';
import { consistencyWord, vmSnapshotFields } from '../wiring/vm-snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'vm snapshot restore',
    summary: 'Make a machine what it was at a snapshot',
    details:
      'The machine must be off. It gets fresh disks; the old ones are kept as they are, with all snapshots in them, until\n' +
      'you remove them. The next backup reads everything. After a kill, the same command goes on.',
    arguments: {
      machine: { required: true, summary: 'Name or UUID of the machine' },
      name: { required: true, summary: 'Name of the snapshot' },
    },
    options: {
      ...connectionOptions,
      directory: {
        value: 'DIR',
        completes: 'directory',
        summary: 'Where the fresh disks go (default: beside the old ones)',
      },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    using progress = output.progress('restore');
    const { snapshot, disks, replaced } = await restoreVmSnapshot({
      ...(await openMachine({ options, machine: args.machine, context })),
      snapshot: args.name,
      directory: options.directory === undefined ? undefined : resolve(options.directory),
      clock,
      onProgress: ({ doneBytes, totalBytes }) => progress.update({ doneBytes, totalBytes }),
      signal,
    });
    progress[Symbol.dispose]();
    output.result(
      {
        snapshot: vmSnapshotFields(snapshot),
        disks: disks.map(({ name, path, format }) => ({ name, to: path, format })),
        replaced,
      },
      [
        `${printable(args.machine)} is what it was at the snapshot ${printable(snapshot.name)} (${consistencyWord(snapshot)}):`,
        ...disks.map(({ name, path }) => `  ${name}: ${printable(path)}`),
        'The old disks are kept, with their snapshots. When the machine is as you want it, remove them:',
        ...replaced.map(({ name, path }) => `  ${name}: ${printable(path)}`),
      ].join('\n'),
    );
  },
);

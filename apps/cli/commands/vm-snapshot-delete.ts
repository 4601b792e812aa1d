/** `holdfast vm snapshot delete`: from all disks, while the machine runs or not. */
import { deleteVmSnapshot } from '@holdfast/hypervisor/snapshot';
import { connectionOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { printable } from '../terminal/format.ts';
import { claimedMachine } from '../wiring/machine.ts';
import { vmSnapshotFields } from '../wiring/vm-snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'vm snapshot delete',
    summary: 'Delete a snapshot from all disks of a machine',
    details:
      'While the machine runs or not. Of a snapshot with overlays what was written since is written back into the images below,\n' +
      'which takes as long as copying it. After a failure or a kill nothing is lost, and the same command goes on.',
    arguments: {
      machine: { required: true, summary: 'Name or UUID of the machine' },
      name: { required: true, summary: 'Name of the snapshot' },
    },
    options: {
      ...connectionOptions,
      allowStall: { summary: 'Even if the running machine may stand still for longer than a second' },
    },
  },
  async ({ args, options, context }) => {
    const { output, signal } = context;
    await using machine = await claimedMachine({ options, machine: args.machine, context });
    using progress = output.progress('delete');
    const deleted = await deleteVmSnapshot({
      ...machine,
      name: args.name,
      allowStall: options.allowStall,
      onProgress: ({ doneBytes, totalBytes }) => progress.update({ doneBytes, totalBytes }),
      signal,
    });
    progress[Symbol.dispose]();
    output.result(
      { snapshot: vmSnapshotFields(deleted) },
      `Deleted the snapshot ${printable(deleted.name)} from ${deleted.disks.map(({ target }) => target).join(', ')}.`,
    );
  },
);

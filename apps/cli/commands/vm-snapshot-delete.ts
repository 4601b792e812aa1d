/** `holdfast vm snapshot delete`: from all disks, while the machine runs or not. */
import { deleteVmSnapshot } from '@holdfast/hypervisor/snapshot';
import { connectionOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { printable } from '../terminal/format.ts';
import { openMachine } from '../wiring/machine.ts';
import { vmSnapshotFields } from '../wiring/vm-snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'vm snapshot delete',
    summary: 'Delete a snapshot from all disks of a machine',
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
    const machine = await openMachine({ options, machine: args.machine, context });
    const deleted = await deleteVmSnapshot({
      ...machine,
      name: args.name,
      allowStall: options.allowStall,
      signal,
    });
    output.result(
      { snapshot: vmSnapshotFields(deleted) },
      `Deleted the snapshot ${printable(deleted.name)} from ${deleted.disks.map(({ target }) => target).join(', ')}.`,
    );
  },
);

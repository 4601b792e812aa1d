/** `holdfast vm snapshot list`: the snapshots that a machine has on its disks. */
import { listVmSnapshots } from '@holdfast/hypervisor/snapshot';
import { connectionOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { openMachine } from '../wiring/machine.ts';
import { vmSnapshotDiskFields, vmSnapshotFields, vmSnapshotLines } from '../wiring/vm-snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'vm snapshot list',
    summary: 'List the snapshots of a machine',
    details:
      'KEEPS is what only this snapshot still holds on all disks: what deleting it would free. A snapshot that misses\n' +
      'disks cannot be restored as a whole. One with overlays is the image below them.',
    arguments: { machine: { required: true, summary: 'Name or UUID of the machine' } },
    options: connectionOptions,
  },
  async ({ args, options, context }) => {
    const { output, signal } = context;
    const machine = await openMachine({ options, machine: args.machine, context });
    const snapshots = await listVmSnapshots({ ...machine, signal });
    output.result(
      {
        machine: machine.domain.name,
        snapshots: snapshots.map((snapshot) => ({
          ...vmSnapshotFields(snapshot),
          disks: snapshot.disks.map(vmSnapshotDiskFields),
        })),
      },
      snapshots.length === 0 ? 'No snapshots.' : vmSnapshotLines(snapshots).join('\n'),
    );
  },
);

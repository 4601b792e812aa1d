/** `holdfast volume snapshot create`: what an image file holds now, kept inside it. */
import { createVolumeSnapshot } from '@holdfast/hypervisor/snapshot';
import { defineCommand } from '../command/specification.ts';
import { printable } from '../terminal/format.ts';
import { snapshotFields } from '../wiring/snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'volume snapshot create',
    summary: 'Take a snapshot of an image file',
    details:
      'It lies inside the qcow2 image and is gone with it: it is no backup. At first it takes no room; later, what the disk\n' +
      'no longer holds. No program may have the image open; for the disks of a running machine: holdfast vm snapshot.',
    arguments: {
      file: { required: true, completes: 'file', summary: 'The qcow2 image' },
      name: { required: true, summary: 'Name of the new snapshot' },
    },
    options: {},
  },
  async ({ args, context }) => {
    const { output, signal } = context;
    const snapshot = await createVolumeSnapshot({ path: args.file, name: args.name, signal });
    output.result({ snapshot: snapshotFields(snapshot) }, `Took the snapshot ${printable(snapshot.name)}.`);
  },
);

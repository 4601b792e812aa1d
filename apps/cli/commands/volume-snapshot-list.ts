/** `holdfast volume snapshot list`: the snapshots inside an image file and what each of them keeps. */
import { readQcow2Snapshots } from '@holdfast/hypervisor/snapshot';
import { defineCommand } from '../command/specification.ts';
import { snapshotFields, snapshotLines } from '../wiring/snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'volume snapshot list',
    summary: 'List the snapshots of an image file',
    details:
      'KEEPS is what only this snapshot still holds: what deleting it would free. The image may be in use; the figures are\n' +
      'then those of what QEMU has written by now.',
    arguments: { file: { required: true, completes: 'file', summary: 'The qcow2 image' } },
    options: {},
  },
  async ({ args, context }) => {
    const { output, signal } = context;
    const image = await readQcow2Snapshots({ path: args.file, signal });
    output.result(
      {
        file: args.file,
        size_bytes: image.sizeBytes,
        bitmaps: image.bitmaps,
        snapshots: image.snapshots.map(snapshotFields),
      },
      image.snapshots.length === 0 ? 'No snapshots.' : snapshotLines(image.snapshots).join('\n'),
    );
  },
);

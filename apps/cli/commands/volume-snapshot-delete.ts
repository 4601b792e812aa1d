/** `holdfast volume snapshot delete`: what only the snapshot held is free again. */
import { formatBytes } from '@holdfast/base';
import { deleteVolumeSnapshot } from '@holdfast/hypervisor/snapshot';
import { defineCommand } from '../command/specification.ts';
import { printable } from '../terminal/format.ts';
import { snapshotFields } from '../wiring/snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'volume snapshot delete',
    summary: 'Delete a snapshot of an image file',
    arguments: {
      file: { required: true, completes: 'file', summary: 'The qcow2 image' },
      snapshot: { required: true, summary: 'Its name or id' },
    },
    options: {},
  },
  async ({ args, context }) => {
    const { output, signal } = context;
    const snapshot = await deleteVolumeSnapshot({ path: args.file, snapshot: args.snapshot, signal });
    const { usage } = snapshot;
    const freed = usage.kind === 'known' ? `, which held ${formatBytes(usage.divergedBytes)} alone` : '';
    output.result({ snapshot: snapshotFields(snapshot) }, `Deleted the snapshot ${printable(snapshot.name)}${freed}.`);
  },
);

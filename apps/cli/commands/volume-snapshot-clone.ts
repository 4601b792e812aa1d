/** `holdfast volume snapshot clone`: a new image out of a snapshot, also while a machine runs on the old one. */
import { cloneSnapshot } from '@holdfast/hypervisor/snapshot';
import { defineCommand } from '../command/specification.ts';
import { printable } from '../terminal/format.ts';
import { snapshotFields } from '../wiring/snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'volume snapshot clone',
    summary: 'Make a new image file out of a snapshot',
    details: 'The new image is sparse and stands alone. The old one may be in use.',
    arguments: {
      file: { required: true, completes: 'file', summary: 'The qcow2 image' },
      snapshot: { required: true, summary: 'Its name or id' },
    },
    options: {
      to: { value: 'FILE', required: true, completes: 'file', summary: 'The new image; must not exist' },
      format: { value: 'FORMAT', choices: ['raw', 'qcow2'], summary: 'Of the new image (default: qcow2)' },
    },
  },
  async ({ args, options, context }) => {
    const { output, signal } = context;
    using progress = output.progress('clone');
    const snapshot = await cloneSnapshot({
      path: args.file,
      snapshot: args.snapshot,
      target: { path: options.to, format: options.format ?? 'qcow2' },
      onProgress: (report) => progress.update(report),
      signal,
    });
    progress[Symbol.dispose]();
    output.result(
      { snapshot: snapshotFields(snapshot), file: options.to },
      `${printable(options.to)} is the disk at the snapshot ${printable(snapshot.name)}.`,
    );
  },
);

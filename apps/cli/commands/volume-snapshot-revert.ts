/** `holdfast volume snapshot revert`: the disk becomes what it was. */
import { revertVolume, SnapshotJournal } from '@holdfast/hypervisor/snapshot';
import { defineCommand } from '../command/specification.ts';
import { formatCount, printable } from '../terminal/format.ts';
import { stateDirectoryOf } from '../wiring/machines.ts';
import { snapshotFields } from '../wiring/snapshot-report.ts';

export const command = defineCommand(
  {
    name: 'volume snapshot revert',
    summary: 'Make an image file what it was at a snapshot',
    details:
      'What the disk holds now is kept in a snapshot of its own first (before-revert-TIME), which you delete when you no\n' +
      'longer need it. No program may have the image open, and no overlay of a machine may lie on it. Dirty bitmaps are removed, so the next backup reads all of it.',
    arguments: {
      file: { required: true, completes: 'file', summary: 'The qcow2 image' },
      snapshot: { required: true, summary: 'Its name or id' },
    },
    options: { discardPresent: { summary: 'Keep nothing of what the disk holds now' } },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const { snapshot, safetySnapshot, removedBitmaps } = await revertVolume({
      path: args.file,
      snapshot: args.snapshot,
      keepPresent: !options.discardPresent,
      clock,
      overlays: new SnapshotJournal({ stateDirectory: stateDirectoryOf(context) }).overlays,
      signal,
    });
    if (removedBitmaps.length > 0) {
      output.warn(
        `${formatCount(removedBitmaps.length, 'dirty bitmap')} had to be removed; the next backup reads all of the disk.`,
      );
    }
    const kept = safetySnapshot === undefined ? '' : ` What it was is in the snapshot ${safetySnapshot}.`;
    output.result(
      {
        snapshot: snapshotFields(snapshot),
        safety_snapshot: safetySnapshot ?? null,
        removed_bitmaps: removedBitmaps,
      },
      `${printable(args.file)} is what it was at the snapshot ${printable(snapshot.name)}.${kept}`,
    );
  },
);

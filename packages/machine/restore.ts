/** Getting machines back. */
export {
  type MachineInPlace,
  type ReplacedDisk,
  restoreInPlace,
  type RestoreInPlaceOptions,
} from './restore/restore-in-place.ts';
export { restoreAsNewMachine, type RestoreAsNewOptions, type RestoredMachine } from './restore/restore-as-new.ts';
export { type MachineOfSnapshot, restoreVmSnapshot, type RestoreSnapshotOptions } from './restore/restore-snapshot.ts';
export { restoreToFile, type RestoreToFileOptions } from './restore/restore-to-file.ts';
export type { DiskProgress, RestoredDisk } from './restore/write-disks.ts';

export { type Qcow2Snapshot, readQcow2Snapshots, type SnapshotUsage } from '../qcow2/read-snapshots.ts';
export { cloneLayer, type CloneRequest, cloneSnapshot, unfinishedPath } from './clone-snapshot.ts';
export type { CommitProgress } from './commit-live.ts';
export { createVmSnapshot, type CreatedVmSnapshot, type CreateVmSnapshot } from './create-vm-snapshot.ts';
export { deleteVmSnapshot } from './delete-vm-snapshot.ts';
export { imagesBelow, isReadThrough } from './disk-layers.ts';
export type { OverlayJournal } from './overlay-journal.ts';
export { type SnapshotConsistency, SnapshotJournal } from './snapshot-journal.ts';
export {
  findVmSnapshot,
  listVmSnapshots,
  type VmSnapshot,
  type VmSnapshotDisk,
  type VmSnapshotSummary,
} from './vm-snapshots.ts';
export { createVolumeSnapshot, deleteVolumeSnapshot, type RevertedVolume, revertVolume } from './volume-snapshots.ts';

export { type Qcow2Snapshot, readQcow2Snapshots, type SnapshotUsage } from '../qcow2/read-snapshots.ts';
export { type CloneRequest, cloneSnapshot, unfinishedPath } from './clone-snapshot.ts';
export { type SnapshotConsistency, SnapshotJournal } from './snapshot-journal.ts';
export {
  createVmSnapshot,
  type CreatedVmSnapshot,
  type CreateVmSnapshot,
  deleteVmSnapshot,
  findVmSnapshot,
  listVmSnapshots,
  type VmSnapshot,
  type VmSnapshotDisk,
} from './vm-snapshots.ts';
export { createVolumeSnapshot, deleteVolumeSnapshot, type RevertedVolume, revertVolume } from './volume-snapshots.ts';

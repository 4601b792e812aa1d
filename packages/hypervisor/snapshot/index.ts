export { type Qcow2Snapshot, readQcow2Snapshots, type SnapshotUsage } from '../qcow2/read-snapshots.ts';
export { type CloneRequest, cloneSnapshot } from './clone-snapshot.ts';
export {
  createVolumeSnapshot,
  deleteVolumeSnapshot,
  type RevertedVolume,
  revertVolume,
} from './volume-snapshots.ts';

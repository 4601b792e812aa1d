export { type Qcow2Snapshot, type Qcow2Snapshots, readQcow2Snapshots, type SnapshotUsage } from './read-snapshots.ts';

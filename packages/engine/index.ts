export {
  type BackupDisk,
  type BackupOptions,
  type BackupOutcome,
  type BackupProgress,
  backup,
} from './backup/backup.ts';
export { type ChunkProfile, chunkProfiles } from './chunk/geometry.ts';
export { type HashAlgorithm, hashAlgorithms } from './chunk/hash.ts';
export { type CompressionLevel, compressionLevels } from './codec/compression.ts';
export {
  type CollectOptions,
  type CollectReport,
  collect,
  defaultTrashDays,
  maximumTrashDays,
} from './collect/collect.ts';
export type { Holder } from './collect/holders.ts';
export type { StorageExplained } from './collect/explain-storage.ts';
export { type DeletionPreview, previewDeletion } from './collect/preview-deletion.ts';
export { choosePoints, deletePoints, undeletePoints } from './collect/trash.ts';
export { type CompactOptions, type CompactReport, compact } from './collect/compact.ts';
export type { CopiedPoint } from './copy/copy-point.ts';
export {
  assertAllCopied,
  type CopyOptions,
  type CopyPlan,
  type CopyReport,
  copyPoints,
  type FailedCopy,
  planCopy,
} from './copy/copy-points.ts';
export type { DiskCounters, Manifest, ManifestDisk } from './manifest/manifest.ts';
export type { PointState } from './manifest/point-states.ts';
export {
  type DamagedPoint,
  findPoint,
  type ListedPoint,
  listPoints,
  type PointKey,
  type PointListing,
  type RestorePoint,
} from './manifest/points.ts';
export { type AdoptReport, adoptRepository } from './repository/adopt.ts';
export type { KeyRecord } from './repository/key-record.ts';
export { type RotatedKey, type RotateKeyOptions, removeKey, rotateKey } from './repository/key-rotation.ts';
export { checkResource, keyRecordKey } from './repository/layout.ts';
export {
  type InitOptions,
  initRepository,
  type OpenOptions,
  openRepository,
  putKeyRecord,
  type Repository,
  type RepositoryConfiguration,
  readConfiguration,
  readKeyRecords,
  unlockSecret,
} from './repository/repository.ts';
export { type RestoreOptions, type RestoreOutcome, type RestoreProgress, restoreDisk } from './restore/restore-disk.ts';
export { openPointDisk, type PointDiskOptions } from './serve/point-disk.ts';
export { fenceSession, listSessions, type SessionRecord } from './session/session.ts';
export { checkRepository, type RepositoryCheck } from './verify/check-repository.ts';
export {
  assertClean,
  type PointVerdict,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  verifyRepository,
} from './verify/verify-repository.ts';

/** What every command needs. Care and restore are modules of their own, so that a backup does not load them (start-up). */
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
export type { KeyRecord } from './repository/key-record.ts';
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
export { fenceSession, listSessions, type SessionRecord } from './session/session.ts';

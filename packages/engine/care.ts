/** Looking after a repository: delete, collect, compact, verify, copy, keys. */
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
export { type HealReport, heal } from './collect/heal.ts';
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
export { type AdoptReport, adoptRepository } from './repository/adopt.ts';
export { type RotatedKey, type RotateKeyOptions, removeKey, rotateKey } from './repository/key-rotation.ts';
export { checkRepository, type RepositoryCheck } from './verify/check-repository.ts';
export { flaggedPoints } from './verify/flagged-points.ts';
export {
  assertClean,
  type PointVerdict,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  verifyRepository,
} from './verify/verify-repository.ts';

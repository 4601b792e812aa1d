export {
  type CheckStorageOptions,
  checkStorage,
  type StorageCheckReport,
  type StorageCheckResult,
} from './check-storage.ts';
export type { ProbedCapability, StorageCheck, StorageCheckContext } from './storage-check.ts';
export { storageChecks } from './storage-checks.ts';

export { applyChange, type DiskChange, noise, text } from './disk/disk-change.ts';
export { diskBlockBytes, MemoryDisk } from './disk/memory-disk.ts';
export { MemorySource, type MemorySourceOptions } from './disk/memory-source.ts';
export { MemoryTarget, type MemoryTargetOptions } from './disk/memory-target.ts';
export { deterministically } from './deterministic-process.ts';
export { type FakeClock, fakeClock } from './fake-clock.ts';
export { mountForTest } from './mount-for-test.ts';
export {
  crashAt,
  type Fault,
  type FaultScript,
  faultsAt,
  SimulatedCrash,
  type StorageFailure,
} from './storage/fault.ts';
export { type FaultyStore, type FaultyStoreOptions, faultyStore, type StorageCall } from './storage/faulty-store.ts';
export { MemoryStore } from './storage/memory-store.ts';
export { type RandomFaultsOptions, randomFaults } from './storage/random-faults.ts';
export { ScheduledProcess } from './storage/scheduled-process.ts';
export {
  type ScheduledCall,
  type ScheduledFault,
  Scheduler,
  type SchedulerOptions,
} from './storage/scheduler.ts';
export { seededRandom } from './storage/seeded-random.ts';
export { type TemporaryDirectory, temporaryDirectory } from './storage/temporary-directory.ts';
export { testConformance } from './storage/test-conformance.ts';

export { backupMachine, type MachineBackupOptions, type MachineBackupOutcome } from './backup-machine.ts';
export {
  decodeGuestConfiguration,
  encodeGuestConfiguration,
  type GuestConfiguration,
  type GuestDisk,
  type GuestDiskSource,
  guestConfigurationOf,
} from './guest-configuration.ts';
export type { DiskSelection } from './machine-disks.ts';
export type { ConsistencyPolicy } from './quiesce.ts';

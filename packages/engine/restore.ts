/** Getting disks back. */
export { readGuestConfiguration } from './restore/guest-configuration.ts';
export { type RestoreOptions, type RestoreOutcome, type RestoreProgress, restoreDisk } from './restore/restore-disk.ts';
export type { UnreadableRange } from './restore/unreadable-chunks.ts';
export { openPointDisk, type PointDiskOptions } from './serve/point-disk.ts';

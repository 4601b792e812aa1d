export { type BackupJobDisk, backupXml, checkpointXml, exportedBitmap, redefinedCheckpointXml } from './backup-xml.ts';
export { type ConnectionUri, DEFAULT_CONNECTION, parseConnectionUri } from './connection-uri.ts';
export type { CallOptions, Domain } from './domain.ts';
export type { DomainCheckpoints } from './domain-checkpoints.ts';
export type { DomainLayers } from './domain-layers.ts';
export { type DomainState, type DomainStatus, isActive } from './domain-state.ts';
export { type ChainImage, type DiskSource, type DomainDisk, pathOf } from './domain-xml/disk.ts';
export { type AgentChannel, describeDomain, type DomainDescription } from './domain-xml/domain-description.ts';
export { type ProcessOwner, processOwner } from './domain-xml/process-owner.ts';
export { type DiskPlace, type DomainChanges, editDomain } from './domain-xml/edit-domain.ts';
export type { FrozenBackup } from './frozen-backup.ts';
export type {
  AgentCall,
  FreezeState,
  GuestAgent,
  GuestProgram,
  GuestProgramResult,
  GuestSystem,
} from './guest-agent.ts';
export {
  captureGuestState,
  type GuestStateFile,
  type GuestStateOwner,
  guestStatePlaces,
  LIBVIRT_STATE_DIRECTORY,
  placeGuestState,
} from './guest-state.ts';
export { type DomainInventory, imageSource, type InventoryDisk } from './inventory.ts';
export { type DomainName, Libvirt } from './libvirt.ts';
export { type LiveBitmap, type LiveImage, liveBitmaps, removeLiveBitmap } from './live-bitmaps.ts';
export { pause } from './pause.ts';
export type { StoragePool } from './storage-pools.ts';
export { thawUntilThawed } from './thaw.ts';

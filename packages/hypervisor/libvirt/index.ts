export { type ConnectionUri, DEFAULT_CONNECTION, parseConnectionUri } from './connection-uri.ts';
export type { CallOptions, Domain } from './domain.ts';
export { type DomainState, type DomainStatus, isActive } from './domain-state.ts';
export type {
  AgentCall,
  FreezeState,
  GuestAgent,
  GuestProgram,
  GuestProgramResult,
  GuestSystem,
} from './guest-agent.ts';
export { type DomainName, Libvirt } from './libvirt.ts';

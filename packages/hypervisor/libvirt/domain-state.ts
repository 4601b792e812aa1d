/** What a domain is doing, in libvirt's words made fit for code. */
import { HoldfastError } from '@holdfast/base';

const states = {
  'no state': 'unknown',
  running: 'running',
  idle: 'running', // not used by QEMU
  paused: 'paused',
  'in shutdown': 'shutting_down',
  'shut off': 'shut_off',
  crashed: 'crashed',
  pmsuspended: 'suspended',
} as const;

export type DomainState = (typeof states)[keyof typeof states];

/** Those in which there is a QEMU process. */
export function isActive(state: DomainState): boolean {
  return state !== 'shut_off' && state !== 'crashed';
}

export type DomainStatus = {
  readonly state: DomainState;
  /** Why, in libvirt's words: `I/O error` of a paused one whose disk ran out of space, `crashed`, `destroyed`. */
  readonly reason: string;
};

/** Of `virsh domstate --reason`: `paused (I/O error)`. @throws libvirt_failed */
export function parseDomainStatus(text: string): DomainStatus {
  const [, words = '', reason = ''] = /^([a-z ]+?)(?: \((.*)\))?\s*$/.exec(text) ?? [];
  const state = (states as Readonly<Record<string, DomainState>>)[words];
  if (state === undefined) throw new HoldfastError('libvirt_failed', `virsh domstate said ${JSON.stringify(text)}`);
  return { state, reason };
}

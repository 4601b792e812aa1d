/** What Holdfast needs to know of a domain, read from its XML. */
import type { Element } from '@xmldom/xmldom';
import { describeDisk, type DomainDisk } from './disk.ts';
import { attribute, childrenOf, elementAt, invalid, parseDomainDocument, textOf } from './document.ts';
import { restoredAt } from './own-notes.ts';

/** The guest agent's channel: absent, or whether somebody listens at its end; only a live definition says. */
export type AgentChannel = 'absent' | 'unknown' | 'disconnected' | 'connected';

export type DomainDescription = {
  readonly name: string;
  /** Undefined in XML that libvirt did not write. */
  readonly uuid: string | undefined;
  readonly title: string | undefined;
  /** In the order of the XML; targets are unique. */
  readonly disks: readonly DomainDisk[];
  /** Addresses of its network cards, in the order of the XML. */
  readonly macs: readonly string[];
  readonly agent: AgentChannel;
  /** It boots by UEFI, which keeps variables in a file on the host. */
  readonly uefi: boolean;
  /** That file, where it is named: with firmware that libvirt chooses by itself only a live definition does. */
  readonly nvramPath: string | undefined;
  /** Version of an emulated TPM, `1.2` or `2.0`, whose state lies on the host. */
  readonly emulatedTpm: string | undefined;
  /** Devices of the host that are passed through: they tie the machine to it. */
  readonly hostDevices: number;
  /** When Holdfast gave it the disks of an earlier moment, as ISO 8601. */
  readonly restoredAt: string | undefined;
};

/** @throws vm_definition_invalid */
export function describeDomain(xml: string): DomainDescription {
  const { domain } = parseDomainDocument(xml);
  const name = textOf(elementAt(domain, 'name'));
  if (name === undefined) throw invalid('it has no name');
  const devices = elementAt(domain, 'devices');
  const devicesOf = (kind: string): readonly Element[] => (devices ? childrenOf(devices, kind) : []);
  const disks = devicesOf('disk').map(describeDisk);
  const twice = disks.find(({ target }, index) => disks.findIndex((other) => other.target === target) !== index);
  if (twice) throw invalid(`two disks are ${twice.target}`);
  const tpm = devicesOf('tpm').map((device) => elementAt(device, 'backend'))[0];
  return {
    name,
    uuid: textOf(elementAt(domain, 'uuid')),
    title: textOf(elementAt(domain, 'title')),
    disks,
    macs: devicesOf('interface').flatMap((card) => attribute(elementAt(card, 'mac'), 'address') ?? []),
    agent: describeAgent(devicesOf('channel')),
    uefi: isUefi(elementAt(domain, 'os')),
    nvramPath: describeNvram(elementAt(domain, 'os', 'nvram')),
    emulatedTpm: attribute(tpm, 'type') === 'emulator' ? (attribute(tpm, 'version') ?? '2.0') : undefined,
    hostDevices: devicesOf('hostdev').length + devicesOf('interface').filter(isHostDevice).length,
    restoredAt: restoredAt(domain),
  };
}

function describeAgent(channels: readonly Element[]): AgentChannel {
  const targets = channels.map((channel) => elementAt(channel, 'target'));
  const target = targets.find((one) => attribute(one, 'name') === 'org.qemu.guest_agent.0');
  if (!target) return 'absent';
  const state = attribute(target, 'state');
  return state === 'connected' || state === 'disconnected' ? state : 'unknown';
}

export function isUefi(os: Element | undefined): boolean {
  if (!os) return false;
  if (attribute(os, 'firmware') === 'efi' || elementAt(os, 'nvram')) return true;
  return attribute(elementAt(os, 'loader'), 'type') === 'pflash';
}

/** The path is the text, or the `file` of a `source` inside. */
function describeNvram(nvram: Element | undefined): string | undefined {
  return nvram && (attribute(elementAt(nvram, 'source'), 'file') ?? textOf(nvram));
}

function isHostDevice(card: Element): boolean {
  return attribute(card, 'type') === 'hostdev';
}

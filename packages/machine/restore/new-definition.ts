/** The definition of a machine that is made from a point: that of the point, with an identity and disks of its own. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '@holdfast/base';
import { describeDomain, type DiskPlace, editDomain } from '@holdfast/hypervisor/libvirt';
import type { GuestConfiguration } from '../guest-configuration.ts';
import type { RestorePlan } from './restore-plan.ts';

export type NewDefinition = {
  readonly xml: string;
  /** What the machine has no more; sentences. */
  readonly warnings: readonly string[];
};

/**
 * @param options.hasMedium whether a CD or floppy image is there on this host
 * @throws vm_definition_invalid, vm_disk_not_found
 */
export function newDefinition(options: {
  readonly configuration: GuestConfiguration;
  readonly plan: RestorePlan;
  readonly hasMedium: (path: string) => boolean;
  readonly clock: Clock;
}): NewDefinition {
  const { configuration, plan, hasMedium, clock } = options;
  const { domain_xml: xml } = configuration;
  const described = describeDomain(xml);
  const places = new Map<string, DiskPlace>(
    plan.disks.map(({ name, path, format }) => [name, { kind: 'file', path, format }]),
  );
  const warnings: string[] = [];
  for (const { target, device, source } of described.disks) {
    if (places.has(target)) continue;
    if (device === 'disk' || device === 'lun') {
      places.set(target, { kind: 'remove' });
      warnings.push(`${plan.name} has no disk ${target}: it is not restored.`);
    } else if ((source.kind === 'file' || source.kind === 'block') && !hasMedium(source.path)) {
      places.set(target, { kind: 'none' });
      warnings.push(`The drive ${target} of ${plan.name} is empty: ${source.path} is not on this host.`);
    }
  }
  if (described.hostDevices > 0) {
    warnings.push(`${plan.name} uses ${described.hostDevices} devices of its host, as the machine of the point did.`);
  }
  const edited = editDomain(xml, {
    name: plan.name,
    ...(plan.uuid !== null && { uuid: plan.uuid }),
    macs: new Map(described.macs.map((mac) => [mac.toLowerCase(), newMac()])),
    disks: places,
    restoredAt: new Date(clock.nowMs()).toISOString(),
  });
  return { xml: edited, warnings };
}

/** In the range that QEMU and libvirt use. */
function newMac(): string {
  return ['52', '54', '00', ...randomBytes(3).toString('hex').match(/../g)!].join(':');
}

/** Reads from libvirt and its host what a point keeps of a machine besides its disks. */
import {
  captureGuestState,
  type DiskSource,
  type Domain,
  type DomainDescription,
  describeDomain,
} from '@holdfast/hypervisor/libvirt';
import type { GuestConfiguration, GuestDiskSource } from './guest-configuration.ts';
import { isDataDisk } from './machine-disks.ts';

const TPM = 'tpm/';

/**
 * @param request.description of the machine as it is now: a running one tells its backing chains
 * @throws vm_state_too_large, source_unreadable, libvirt errors
 */
export async function captureConfiguration(request: {
  readonly domain: Domain;
  readonly description: DomainDescription;
  /** Where libvirt keeps the state of TPMs; its own when absent. */
  readonly libvirtDirectory?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<GuestConfiguration> {
  const { domain, description, libvirtDirectory, signal } = request;
  const domainXml = await domain.xml({ which: 'stored', signal });
  const files = await captureGuestState({
    domain: describeDomain(domainXml),
    ...(libvirtDirectory !== undefined && { stateDirectory: libvirtDirectory }),
    signal,
  });
  const tpm = files.filter(({ name }) => name.startsWith(TPM));
  return {
    name: domain.name,
    uuid: domain.uuid,
    domain_xml: domainXml,
    nvram: files.find(({ name }) => name === 'nvram')?.bytes ?? null,
    tpm_state:
      tpm.length === 0 ? null : tpm.map(({ name, bytes }) => ({ path: name.slice(TPM.length), content: bytes })),
    disks: description.disks.filter(isDataDisk).map(({ target, bus, format = 'raw', source, backing = [] }) => ({
      name: target,
      bus: bus ?? null,
      format,
      source: sourceOf(source),
      backing: backing.map((image) => ({ format: image.format ?? 'raw', source: sourceOf(image.source) })),
    })),
  };
}

/** As points keep it. */
export function sourceOf(source: DiskSource): GuestDiskSource {
  if (source.kind === 'none') return { kind: 'other', name: 'none' };
  if (source.kind !== 'volume') return source;
  const { kind, pool, volume } = source;
  return { kind, pool, volume };
}

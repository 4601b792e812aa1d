/** Restore points of tiny guests that are off, made with the engine itself. */
import { backup, openRepository } from '@holdfast/engine';
import { type ImageFormat, openBlockSource, parseBlockLocation } from '@holdfast/hypervisor';
import {
  captureGuestState,
  describeDomain,
  type DomainDescription,
  type GuestStateFile,
  LIBVIRT_STATE_DIRECTORY,
} from '@holdfast/hypervisor/libvirt';
import { encodeGuestConfiguration } from '@holdfast/machine';
import { LocalStore } from '@holdfast/storage';
import type { LibvirtHost } from '@holdfast/testing/guests';

/** The host has a /var/lib/libvirt of its own, which is elsewhere for us. */
export async function guestStateOf(host: LibvirtHost, domain: DomainDescription): Promise<readonly GuestStateFile[]> {
  const { stateDirectory } = host;
  const nvramPath = domain.nvramPath?.replace(LIBVIRT_STATE_DIRECTORY, stateDirectory);
  return await captureGuestState({ domain: { ...domain, nvramPath }, stateDirectory });
}

/** Id of the point. @param options.disks targets; all when absent */
export async function pointOfStoppedGuest(options: {
  readonly host: LibvirtHost;
  readonly vm: string;
  readonly repository: string;
  readonly disks?: readonly string[];
}): Promise<string> {
  const { host, vm } = options;
  const xml = await host.virsh('dumpxml', vm, '--inactive', '--security-info');
  const domain = describeDomain(xml);
  const { uuid = '', disks: all } = domain;
  const state = await guestStateOf(host, domain);
  await using stack = new AsyncDisposableStack();
  const repository = await openRepository({
    store: stack.use(await LocalStore.open({ directory: options.repository, create: false })),
  });
  const described = all.flatMap(({ target, bus, format, source }) => {
    const image: ImageFormat | undefined = format === 'qcow2' || format === 'raw' ? format : undefined;
    if (source.kind !== 'file' || !image) throw new Error(`${target} of ${vm} is no image file`);
    return { name: target, bus: bus ?? null, format: image, source: { kind: source.kind, path: source.path } };
  });
  const disks = [];
  for (const { name, format, source } of described) {
    if (options.disks && !options.disks.includes(name)) continue;
    const opened = await openBlockSource({ location: parseBlockLocation(source.path), format });
    disks.push({ name, source: stack.use(opened) });
  }
  const { point } = await backup({
    repository,
    resource: `instances/${vm}`,
    disks,
    guestConfiguration: encodeGuestConfiguration({
      name: vm,
      uuid,
      domain_xml: xml,
      nvram: state.find(({ name }) => name === 'nvram')?.bytes ?? null,
      tpm_state: state
        .filter(({ name }) => name.startsWith('tpm/'))
        .map(({ name, bytes }) => ({ path: name.slice('tpm/'.length), content: bytes })),
      disks: described.map((disk) => ({ ...disk, backing: [] })),
    }),
  });
  return point.manifest.id;
}

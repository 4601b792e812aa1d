/** A libvirt: the machines it has, by name. Everything goes through virsh (docs/design/architecture.md). */
import { HoldfastError } from '@holdfast/base';
import { type ConnectionUri, parseConnectionUri } from './connection-uri.ts';
import { type CallOptions, Domain } from './domain.ts';
import type { DomainDisk } from './domain-xml/disk.ts';
import { describeDomain, type DomainDescription } from './domain-xml/domain-description.ts';
import { type DomainInventory, takeInventory } from './inventory.ts';
import { listStoragePools, type StoragePool, volumePath } from './storage-pools.ts';
import { Virsh } from './virsh.ts';

export type DomainName = { readonly name: string; readonly uuid: string };

export class Libvirt {
  readonly uri: ConnectionUri;
  readonly #virsh: Virsh;

  /** Connects to nothing yet. @throws usage when `uri` is none of libvirt's for QEMU */
  constructor({ uri }: { readonly uri: string }) {
    this.uri = parseConnectionUri(uri);
    this.#virsh = new Virsh(this.uri.text);
  }

  /** Every machine, running or not, in the order of names. @throws libvirt_unreachable, libvirt_denied, libvirt_timeout */
  async domainNames({ signal }: CallOptions = {}): Promise<readonly DomainName[]> {
    const args = ['list', '--all', '--uuid', '--name'];
    const output = await this.#virsh.run({ args, doing: `list the machines of ${this.uri.text}`, signal });
    return output
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map(parseNameLine)
      .toSorted((a, b) => a.name.localeCompare(b.name));
  }

  /**
   * The machine of this name, or of this UUID when no name is like it.
   * @throws vm_not_found, libvirt_remote when this connection leads to another host
   */
  async domain(nameOrUuid: string, { signal }: CallOptions = {}): Promise<Domain> {
    this.refuseRemote();
    // virsh would take a name made of digits for the id of some running machine.
    const names = await this.domainNames({ signal });
    const found =
      names.find(({ name }) => name === nameOrUuid) ?? names.find(({ uuid }) => uuid === nameOrUuid.toLowerCase());
    if (found) return new Domain({ virsh: this.#virsh, ...found });
    throw new HoldfastError('vm_not_found', `${this.uri.text} has no machine ${JSON.stringify(nameOrUuid)}`, {
      facts: { vm: nameOrUuid },
    });
  }

  /**
   * Everything that there is to know of its machines without changing them, in the order of names. A machine that goes
   * away meanwhile is left out. Over a remote connection backing chains of machines that are off stay unknown.
   */
  async inventory({ signal }: CallOptions = {}): Promise<readonly DomainInventory[]> {
    const names = await this.domainNames({ signal });
    return await takeInventory({ virsh: this.#virsh, names, isLocal: this.uri.isLocal, signal });
  }

  async storagePools({ signal }: CallOptions = {}): Promise<readonly StoragePool[]> {
    return await listStoragePools({ virsh: this.#virsh, signal });
  }

  /**
   * The same description with the paths of those disks that are volumes of a pool, where they lie on this host (as those
   * of Ceph do not). Drives of removable media stay as they are: their pools need not be there.
   * @throws libvirt_failed (a pool that is not active, or is gone, or has no such volume), libvirt_remote
   */
  async locateVolumes(description: DomainDescription, { signal }: CallOptions = {}): Promise<DomainDescription> {
    this.refuseRemote();
    const disks: DomainDisk[] = [];
    for (const disk of description.disks) {
      const { source, device } = disk;
      const isWanted = source.kind === 'volume' && device !== 'cdrom' && device !== 'floppy';
      const path = isWanted ? await volumePath({ virsh: this.#virsh, ...source, signal }) : undefined;
      disks.push(isWanted && path !== undefined ? { ...disk, source: { ...source, path } } : disk);
    }
    return { ...description, disks };
  }

  /**
   * Makes libvirt know a machine, or know it anew when name and UUID are of one that it has. It is not started.
   * @throws vm_definition_invalid, vm_exists (another machine has this name), vm_unsupported, libvirt_remote
   */
  async define({ xml, signal }: { readonly xml: string } & CallOptions): Promise<Domain> {
    this.refuseRemote();
    const { name } = describeDomain(xml);
    await this.#virsh.run({ args: ['define'], documents: [xml], doing: `define ${name}`, signal });
    return await this.domain(name, { signal });
  }

  /** For what needs more of the host than libvirt. @throws libvirt_remote when this connection leads to another one */
  refuseRemote(): void {
    if (this.uri.isLocal) return;
    throw new HoldfastError('libvirt_remote', `${this.uri.text} leads to another host`);
  }
}

/** `7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee web1`; a name may hold spaces. */
function parseNameLine(line: string): DomainName {
  const [, uuid, name] = /^\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s(.*)$/.exec(line) ?? [];
  if (uuid === undefined || name === undefined) {
    throw new HoldfastError('libvirt_failed', `virsh list said ${JSON.stringify(line.slice(0, 200))}`);
  }
  return { uuid, name: name.trim() };
}

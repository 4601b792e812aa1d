/** The disks of a domain as its XML describes them. */
import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, elementAt, invalid, textOf } from './document.ts';

export type DiskSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'block'; readonly path: string }
  | { readonly kind: 'rbd'; readonly pool: string; readonly image: string; readonly snapshot?: string }
  /** A volume of a libvirt storage pool. The XML does not tell where it lies: `Libvirt.locateVolumes` does. */
  | { readonly kind: 'volume'; readonly pool: string; readonly volume: string; readonly path?: string }
  /** Other network protocols, directories, vhost-user and so on: `name` is for people. */
  | { readonly kind: 'other'; readonly name: string }
  /** A drive without a medium. */
  | { readonly kind: 'none' };

/** An image of a chain, the topmost first. */
export type ChainImage = { readonly source: DiskSource; readonly format: string | undefined };

export type DomainDisk = {
  /** `vda`: names it among the machine's disks. */
  readonly target: string;
  /** `virtio-disk0`: libvirt's and QEMU's name of the device; only a live definition tells it. */
  readonly alias: string | undefined;
  readonly device: 'disk' | 'lun' | 'cdrom' | 'floppy';
  readonly bus: string | undefined;
  readonly readonly: boolean;
  readonly shareable: boolean;
  readonly source: DiskSource;
  /** `raw`, `qcow2` and so on. */
  readonly format: string | undefined;
  readonly serial: string | undefined;
  /** Images below it; undefined when the XML does not say (that of a machine that is off rarely does). */
  readonly backing: readonly ChainImage[] | undefined;
};

/** @throws vm_definition_invalid without a target */
export function describeDisk(disk: Element): DomainDisk {
  const target = elementAt(disk, 'target');
  const name = attribute(target, 'dev');
  if (name === undefined) throw invalid('a disk has no target');
  const device = attribute(disk, 'device') ?? 'disk';
  if (device !== 'disk' && device !== 'lun' && device !== 'cdrom' && device !== 'floppy') {
    throw invalid(`the disk ${name} is a ${device}`);
  }
  return {
    target: name,
    alias: attribute(elementAt(disk, 'alias'), 'name'),
    device,
    bus: attribute(target, 'bus'),
    readonly: device === 'cdrom' || elementAt(disk, 'readonly') !== undefined,
    shareable: elementAt(disk, 'shareable') !== undefined,
    source: describeSource(disk),
    format: attribute(elementAt(disk, 'driver'), 'type'),
    serial: textOf(elementAt(disk, 'serial')),
    backing: describeBacking(disk),
  };
}

/** Where it lies on its host; undefined where it is no file or device there, or nobody has located it. */
export function pathOf(source: DiskSource): string | undefined {
  return 'path' in source ? source.path : undefined;
}

/** Of a disk, or of a `backingStore`, which is built alike. */
function describeSource(owner: Element): DiskSource {
  const type = attribute(owner, 'type') ?? 'file';
  const source = elementAt(owner, 'source');
  switch (type) {
    case 'file': {
      const path = attribute(source, 'file');
      return path === undefined ? { kind: 'none' } : { kind: 'file', path };
    }
    case 'block': {
      const path = attribute(source, 'dev');
      return path === undefined ? { kind: 'none' } : { kind: 'block', path };
    }
    case 'volume': {
      const [pool, volume] = [attribute(source, 'pool'), attribute(source, 'volume')];
      return pool === undefined || volume === undefined ? { kind: 'none' } : { kind: 'volume', pool, volume };
    }
    case 'network':
      return describeNetworkSource(source);
    default:
      return { kind: 'other', name: type };
  }
}

function describeNetworkSource(source: Element | undefined): DiskSource {
  const [protocol, name] = [attribute(source, 'protocol'), attribute(source, 'name')];
  const [, pool, image] = /^([^/]+)\/(.+)$/.exec(name ?? '') ?? [];
  if (protocol !== 'rbd' || pool === undefined || image === undefined) {
    return { kind: 'other', name: `${protocol ?? 'network'}:${name ?? ''}` };
  }
  const snapshot = source && attribute(elementAt(source, 'snapshot'), 'name');
  return { kind: 'rbd', pool, image, ...(snapshot !== undefined && { snapshot }) };
}

/** An empty `backingStore` ends a chain; where it is missing, the chain goes on in the dark. */
function describeBacking(disk: Element): readonly ChainImage[] | undefined {
  const chain: ChainImage[] = [];
  for (let at = elementAt(disk, 'backingStore'); at; at = elementAt(at, 'backingStore')) {
    if (childrenOf(at).length === 0) return chain;
    chain.push({ source: describeSource(at), format: attribute(elementAt(at, 'format'), 'type') });
  }
  return undefined;
}

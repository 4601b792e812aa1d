/** Which disks of a machine a snapshot of it is made of. */
import { HoldfastError } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import { isActive } from '../libvirt/domain-state.ts';
import type { DomainDisk } from '../libvirt/domain-xml/disk.ts';
import { describeDomain } from '../libvirt/domain-xml/domain-description.ts';

export type VmDisk = {
  /** `vda` */
  readonly target: string;
  /** The topmost image. */
  readonly path: string;
  /** A file, and not a device of the host. */
  readonly isFile: boolean;
};

export type VmDisks = {
  readonly running: boolean;
  readonly disks: readonly VmDisk[];
  /** Targets of the machine's other drives. */
  readonly others: readonly string[];
};

/**
 * Every disk that the machine can write, in the order of its definition.
 * @throws image_unsupported when one of them is no qcow2 image on this host, vm_disk_not_found when there is none, libvirt
 *   errors
 */
export async function vmDisks(domain: Domain, signal?: AbortSignal): Promise<VmDisks> {
  const running = isActive((await domain.status({ signal })).state);
  const { disks } = describeDomain(await domain.xml({ which: running ? 'live' : 'stored', signal }));
  const written = disks.filter(
    ({ device, readonly, source }) => (device === 'disk' || device === 'lun') && !readonly && source.kind !== 'none',
  );
  if (written.length === 0)
    throw new HoldfastError('vm_disk_not_found', `${domain.name} has no disk that it can write`);
  return {
    running,
    disks: written.map((disk) => snapshotDisk(disk, domain.name)),
    others: disks.filter((disk) => !written.includes(disk)).map(({ target }) => target),
  };
}

function snapshotDisk({ target, source, format }: DomainDisk, machine: string): VmDisk {
  const isLocal = source.kind === 'file' || source.kind === 'block';
  if (isLocal && format === 'qcow2') {
    return { target, path: source.path, isFile: source.kind === 'file' };
  }
  const what = isLocal ? `${format ?? 'of an unknown format'} and not qcow2` : 'no image file of this host';
  throw new HoldfastError('image_unsupported', `The disk ${target} of ${machine} is ${what}`, {
    remedy:
      'Shut the machine down, convert the disk with qemu-img convert -O qcow2, and name the new image in its definition.',
    facts: { vm: machine, disk: target },
  });
}

/** Topmost images, as the next start of the machine will take them. */
export async function storedImages(domain: Domain, signal?: AbortSignal): Promise<ReadonlySet<string>> {
  const { disks } = describeDomain(await domain.xml({ which: 'stored', signal }));
  return new Set(disks.flatMap(({ source }) => ('path' in source ? [source.path] : [])));
}

type Inserted = {
  readonly 'node-name'?: unknown;
  readonly file?: unknown;
  readonly image?: { readonly filename?: unknown };
};

/** Names of QEMU's nodes for these disks of a running machine. @throws vm_unsupported */
export async function diskNodes(
  domain: Domain,
  disks: readonly VmDisk[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const blocks = (await domain.monitor({ command: 'query-block', signal })) as readonly {
    readonly inserted?: Inserted;
  }[];
  return new Map(
    disks.map(({ target, path }) => {
      const inserted = blocks.map((block) => block.inserted).find((one) => one && holds(one, path));
      const node = inserted?.['node-name'];
      if (typeof node === 'string') return [target, node];
      throw new HoldfastError('vm_unsupported', `QEMU does not say where ${domain.name} has its disk ${target}`);
    }),
  );
}

function holds({ file, image }: Inserted, path: string): boolean {
  return [file, image?.filename].some((name) => typeof name === 'string' && (name === path || jsonPath(name) === path));
}

/** QEMU's name of an image that a path alone does not tell: `json:{"driver": "qcow2", "file": {"filename": ...}}`. */
function jsonPath(name: string): unknown {
  if (!name.startsWith('json:')) return undefined;
  const parsed = JSON.parse(name.slice(5)) as { readonly file?: { readonly filename?: unknown } };
  return parsed.file?.filename;
}

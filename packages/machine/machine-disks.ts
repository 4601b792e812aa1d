/** Which disks of a machine a backup takes. */
import { HoldfastError } from '@holdfast/base';
import { type DomainDescription, type DomainDisk, pathOf } from '@holdfast/hypervisor/libvirt';

/** A disk, with what its image says and the definition does not. */
export type MachineDisk = DomainDisk & {
  /** Of a qcow2 image: it is of version 2 (`compat=0.10`, as libvirt makes volumes of pools), which has no room for bitmaps. */
  readonly hasOldImage?: boolean;
};

/** `primary` is the first disk of the definition. */
export type DiskSelection = 'all' | 'primary' | readonly string[];

/**
 * In the order of the definition. `all` are those that hold data of the machine: no drives of removable media.
 * @throws vm_disk_not_found
 */
export function selectMachineDisks(description: DomainDescription, selection: DiskSelection): readonly DomainDisk[] {
  const disks = description.disks.filter(isDataDisk);
  if (selection === 'all' || selection === 'primary') {
    const [first] = disks;
    if (!first) throw notFound(description, `${description.name} has no disk to back up`);
    return selection === 'all' ? disks : [first];
  }
  for (const name of selection) {
    if (disks.some(({ target }) => target === name)) continue;
    const other = description.disks.find(({ target }) => target === name);
    const why = other ? `its ${name} is a drive of removable media, or empty` : `it has no disk ${name}`;
    throw notFound(description, `${description.name} cannot be backed up like this: ${why}`);
  }
  return disks.filter(({ target }) => selection.includes(target));
}

export function isDataDisk({ device, source }: DomainDisk): boolean {
  return (device === 'disk' || device === 'lun') && source.kind !== 'none';
}

/** QEMU can note in the image itself what is written to it. */
export function isTracked({ format, readonly, hasOldImage = false }: MachineDisk): boolean {
  return format === 'qcow2' && !readonly && !hasOldImage;
}

/** Of a disk that is not tracked. */
export function whyUntracked({ format = 'raw', hasOldImage = false }: MachineDisk): string {
  return `a ${format} image ${hasOldImage ? 'of version 2 ' : ''}keeps no bitmap`;
}

/** Paths of all its images that can have bitmaps. Volumes of pools must have been located. */
export function trackedImages({ disks }: DomainDescription): readonly string[] {
  return disks.filter((disk) => isTracked(disk)).flatMap(({ source }) => pathOf(source) ?? []);
}

function notFound({ name, disks }: DomainDescription, detail: string): HoldfastError {
  const names = disks.filter(isDataDisk).map(({ target }) => target);
  return new HoldfastError('vm_disk_not_found', `${detail}.`, {
    facts: { vm: name, disks: names },
    remedy: names.length > 0 ? `It has ${names.join(', ')}.` : 'Give it a disk first.',
  });
}

/** Which disk of a point is meant. */
import { HoldfastError } from '@holdfast/base';
import type { ManifestDisk, RestorePoint } from '@holdfast/engine';

/** @throws disk_not_found, naming the disks there are */
export function chooseDisk({ manifest }: RestorePoint, name: string | undefined): ManifestDisk {
  const names = manifest.disks.map((disk) => disk.name);
  const chosen = manifest.disks.filter((disk) => name === undefined || disk.name === name);
  if (chosen.length === 1) return chosen[0]!;
  const detail =
    name === undefined
      ? `Point ${manifest.id} has ${names.length} disks: ${names.join(', ')}.`
      : `Point ${manifest.id} has no disk ${name}; it has ${names.join(', ')}.`;
  throw new HoldfastError('disk_not_found', detail, { facts: { disks: names } });
}

/** Which disks of a point a restore brings back, and as what. */
import { HoldfastError } from '@holdfast/base';
import type { RestorePoint } from '@holdfast/engine';
import type { ImageFormat } from '@holdfast/hypervisor';
import type { GuestConfiguration } from '../guest-configuration.ts';

export type ChosenDisk = { readonly name: string; readonly format: ImageFormat };

/**
 * In the order of the point. Images are made as the source was: raw, or else qcow2.
 * @param options.names all of the point when empty
 * @throws disk_not_found
 */
export function chooseDisks(options: {
  readonly point: RestorePoint;
  readonly configuration: GuestConfiguration | undefined;
  readonly names: readonly string[];
  readonly format: ImageFormat | undefined;
}): readonly ChosenDisk[] {
  const { point, configuration, names, format } = options;
  const inPoint = point.manifest.disks.map(({ name }) => name);
  const unknown = names.find((name) => !inPoint.includes(name));
  if (unknown !== undefined) {
    throw new HoldfastError('disk_not_found', `Point ${point.manifest.id} has no disk ${unknown}.`, {
      remedy: `It has ${inPoint.join(', ')}.`,
      facts: { disks: inPoint },
    });
  }
  return inPoint
    .filter((name) => names.length === 0 || names.includes(name))
    .map((name) => {
      const source = configuration?.disks.find((disk) => disk.name === name);
      return { name, format: format ?? (source === undefined || source.format === 'raw' ? 'raw' : 'qcow2') };
    });
}

/** One disk of a point into a new volume; no machine is touched. */
import { basename, dirname } from 'node:path';
import { HoldfastError } from '@holdfast/base';
import type { ImageFormat } from '@holdfast/hypervisor';
import { guestConfigurationOf } from '../guest-configuration.ts';
import { chooseDisks } from './chosen-disks.ts';
import { UnfinishedRestore } from './unfinished-restore.ts';
import { type RestoredDisk, type WriteOptions, writeDisks } from './write-disks.ts';

export type RestoreToFileOptions = WriteOptions & {
  /** May be left out when the point has one. */
  readonly disk?: string | undefined;
  /** Of the new image, absolute. */
  readonly path: string;
  /** As the source was when absent; raw when the point does not say. */
  readonly format?: ImageFormat | undefined;
};

/**
 * A failure or an abort leaves nothing behind; after a kill the same call goes on.
 * @throws disk_not_found, vm_busy, target errors, storage errors
 */
export async function restoreToFile(options: RestoreToFileOptions): Promise<RestoredDisk> {
  const { repository, point, disk, path, format } = options;
  const configuration = await guestConfigurationOf(options);
  const chosen = chooseDisks({ point, configuration, names: disk === undefined ? [] : [disk], format });
  const [only, ...more] = chosen;
  if (!only || more.length > 0) {
    const names = chosen.map(({ name }) => name);
    throw new HoldfastError('disk_not_found', `Point ${point.manifest.id} has ${names.length} disks.`, {
      remedy: `Choose one of ${names.join(', ')} with --disk.`,
      facts: { disks: names },
    });
  }
  await using unfinished = await UnfinishedRestore.open({
    directory: dirname(path),
    plan: {
      kind: 'volume',
      repository: repository.configuration.repository,
      point: point.manifest.id,
      name: basename(path),
      uuid: null,
      disks: [{ ...only, path }],
      nvram: null,
      tpm: null,
      replaced: [],
    },
    useOf: () => 'none',
  });
  await unfinished.begin();
  const [restored] = await writeDisks(unfinished, options);
  await unfinished.finish();
  return restored!;
}

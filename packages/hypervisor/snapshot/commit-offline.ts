/** Commits the overlays of a snapshot into the images below them while the machine is off. */
import { rm } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/base';
import { isActive } from '../libvirt/domain-state.ts';
import type { Domain } from '../libvirt/domain.ts';
import { describeDomain } from '../libvirt/domain-xml/domain-description.ts';
import { editDomain } from '../libvirt/domain-xml/edit-domain.ts';
import { carryBitmaps, commitImage, rebaseImage } from '../qemu/commit-image.ts';
import type { CommitRequest } from './commit-live.ts';
import { findLayer, readDiskLayers } from './disk-layers.ts';
import { vmDisks } from './vm-disks.ts';

/**
 * One disk after the other; those that are committed already are passed over, and the record stays. The overlay holds everything until nothing reads
 * through it any more, so that a failure, an abort or a kill loses nothing.
 * @throws vm_state_invalid (its memory is saved), vm_started, volume_busy, target_full, qemu_failed, libvirt errors
 */
export async function commitOffline(request: CommitRequest): Promise<void> {
  const { domain, journal, record, onProgress, signal } = request;
  await refuseSavedMemory(request);
  const records = await journal.list(domain.uuid);
  for (const disk of (await vmDisks(domain, signal)).disks) {
    const chain = await readDiskLayers(disk, records);
    const place = findLayer(chain, record);
    if (!place) continue;
    const { target } = disk;
    const [path, below] = [place.overlay.path, place.layer.path];
    const totalBytes = place.overlay.tables.sizeBytes;
    await commitImage({
      path,
      onProgress: (percent) =>
        onProgress?.({ disk: target, doneBytes: Math.floor((totalBytes * percent) / 100), totalBytes }),
      signal,
    });
    await carryBitmaps({ path, into: below, signal });
    const above = chain.layers[chain.layers.findIndex((layer) => layer.path === path) - 1];
    if (above) await rebaseImage({ path: above.path, below, signal });
    else await changeTopmost({ domain, target, from: path, to: below });
    await rm(path, { force: true });
  }
}

async function refuseSavedMemory({ domain, signal }: CommitRequest): Promise<void> {
  if (!(await domain.hasSavedMemory({ signal }))) return;
  const detail = `${domain.name} was suspended to disk; its memory goes with the layers as they are`;
  throw new HoldfastError('vm_state_invalid', detail, {
    remedy: `Start it, or give its memory up: virsh managedsave-remove ${domain.name}.`,
    facts: { vm: domain.name },
  });
}

/** Nothing keeps the machine from being started meanwhile: then its next start must find the image that it runs on now. */
async function changeTopmost(request: {
  readonly domain: Domain;
  readonly target: string;
  readonly from: string;
  readonly to: string;
}): Promise<void> {
  const { domain, target, from, to } = request;
  const xml = await domain.xml({ which: 'stored' });
  await refuseStarted(domain);
  await domain.redefine({
    xml: editDomain(xml, { disks: new Map([[target, { kind: 'file', path: to, format: 'qcow2' }]]) }),
  });
  if (!isActive((await domain.status()).state)) return;
  const { disks } = describeDomain(await domain.xml({ which: 'live' }));
  const source = disks.find((disk) => disk.target === target)?.source;
  if (source?.kind !== 'file' || source.path !== from) return;
  await domain.redefine({ xml });
  throw started(domain);
}

async function refuseStarted(domain: Domain): Promise<void> {
  if (isActive((await domain.status()).state)) throw started(domain);
}

function started({ name }: Domain): HoldfastError {
  return new HoldfastError('vm_started', `${name} was started while its layers were put together`, {
    remedy: 'Nothing is lost. Run the same command again: it goes on while the machine runs.',
    facts: { vm: name },
  });
}

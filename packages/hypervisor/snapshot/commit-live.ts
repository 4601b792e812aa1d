/** Commits the overlays of a snapshot into the images below them while the machine runs on them. */
import { rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoldfastError, MiB } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import type { LayerJob } from '../libvirt/domain-layers.ts';
import { editDomain } from '../libvirt/domain-xml/edit-domain.ts';
import { pause } from '../libvirt/pause.ts';
import { type DiskLayers, findLayer, type LayerPlace, readDiskLayers } from './disk-layers.ts';
import type { OverlayJournal, OverlayRecord } from './overlay-journal.ts';
import { unlessBusy } from './quiet-moment.ts';
import { storedImages, vmDisks } from './vm-disks.ts';

export type CommitProgress = { readonly disk: string; readonly doneBytes: number; readonly totalBytes: number };

export type CommitRequest = {
  readonly domain: Domain;
  readonly journal: OverlayJournal;
  readonly record: OverlayRecord;
  readonly onProgress?: ((progress: CommitProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

const POLL_MS = 200;
/** Less is as good as nothing to an image that grows. */
const ROOM_BYTES = 4 * MiB;

/**
 * One disk after the other; those that are committed already are passed over, and the record stays, and a job that somebody left is followed to its
 * end. On abort the job is ended: the disk is read through its layers as before.
 * @throws vm_busy, vm_state_invalid (it was turned off), target_full, qemu_failed, libvirt errors
 */
export async function commitLive(request: CommitRequest): Promise<void> {
  const { domain, record, signal } = request;
  for (const { target } of record.overlays) {
    await followJob(request, target);
    const before = await lookAt(request, target);
    const place = before && findLayer(before, record);
    if (!place) continue;
    const [top, base] = [place.overlay.path, place.layer.path];
    const isActive = before.path === top;
    await unlessBusy(domain, async () => await domain.layers.beginCommit({ target, top, base, isActive, signal }));
    await followJob(request, target);
    const after = await lookAt(request, target);
    if (!after || findLayer(after, record)) throw await failure(request, target, place);
    // libvirt sees to that, unless it was killed between the two.
    if ((await storedImages(domain, signal)).has(top)) await changeStored(domain, target, base);
    await rm(top, { force: true });
  }
}

async function changeStored(domain: Domain, target: string, path: string): Promise<void> {
  const xml = await domain.xml({ which: 'stored' });
  await domain.redefine({
    xml: editDomain(xml, { disks: new Map([[target, { kind: 'file', path, format: 'qcow2' }]]) }),
  });
}

async function lookAt({ domain, journal, signal }: CommitRequest, target: string): Promise<DiskLayers | undefined> {
  const { disks } = await vmDisks(domain, signal);
  const disk = disks.find((one) => one.target === target);
  return disk && (await readDiskLayers(disk, await journal.list(domain.uuid)));
}

/** Until there is no job on the disk. */
async function followJob({ domain, onProgress, signal }: CommitRequest, target: string): Promise<void> {
  try {
    for (;;) {
      const job = await domain.layers.job({ target, signal });
      if (job.kind === 'none') return;
      if (job.kind === 'other') throw foreignJob(domain, target, job);
      onProgress?.({ disk: target, doneBytes: job.doneBytes, totalBytes: job.totalBytes });
      if (job.kind === 'active' && job.isReady) await domain.layers.pivot({ target });
      else await pause(POLL_MS, signal);
    }
  } catch (error) {
    if (signal?.aborted) await domain.layers.cancel({ target });
    throw error;
  }
}

function foreignJob({ name }: Domain, target: string, job: LayerJob & { kind: 'other' }): HoldfastError {
  return new HoldfastError('vm_busy', `Another job works on the disk ${target} of ${name}: ${job.name}`, {
    remedy: `Wait for it to end (virsh blockjob ${name} ${target}), and try again.`,
    facts: { vm: name, disk: target },
  });
}

/** QEMU only says that it is over. Both layers are there, and the disk is read through both. */
async function failure({ domain }: CommitRequest, target: string, { layer }: LayerPlace): Promise<HoldfastError> {
  const { bavail, bsize } = await statfs(dirname(layer.path));
  const isFull = bavail * bsize < ROOM_BYTES;
  const why = isFull ? `${dirname(layer.path)} is full` : 'QEMU could not write it, or somebody ended it';
  const detail = `The commit into ${layer.path}, disk ${target} of ${domain.name}, was not finished: ${why}`;
  return new HoldfastError(isFull ? 'target_full' : 'qemu_failed', detail, {
    remedy: 'Nothing is lost. Make room if there is none, and run the same command again: it goes on.',
    facts: { vm: domain.name, disk: target },
  });
}

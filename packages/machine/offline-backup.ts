/**
 * Backup of a machine that is off, from its image files. It goes on with the chain that the running machine left: a bitmap
 * that is added now is empty, and notes everything from the next start on. Whoever starts the machine meanwhile is not
 * kept from it; then there is no point.
 */
import { type BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { HoldfastError, hasCode } from '@holdfast/base';
import { type BackupDisk, type BackupOutcome, backup } from '@holdfast/engine';
import { type ImageFormat, openBlockSource } from '@holdfast/hypervisor';
import { addImageBitmap, bitmapsBelow, listImageBitmaps, removeImageBitmap } from '@holdfast/hypervisor/bitmaps';
import {
  describeDomain,
  type DomainDescription,
  type DomainDisk,
  redefinedCheckpointXml,
} from '@holdfast/hypervisor/libvirt';
import { type BackupBase, checkpointMark, chooseBase, type DiskBitmap, newCheckpointName } from './backup-base.ts';
import type { MachineBackupOutcome, MachineBackupWork } from './backup-machine.ts';
import { captureConfiguration } from './capture-configuration.ts';
import { encodeGuestConfiguration, type GuestConfiguration } from './guest-configuration.ts';
import { isTracked, selectMachineDisks } from './machine-disks.ts';

type Image = {
  readonly disk: DomainDisk;
  readonly path: string;
  readonly format: ImageFormat;
  /** Of a qcow2 image. */
  readonly bitmaps: readonly DiskBitmap[];
};

type Prepared = {
  readonly work: MachineBackupWork;
  readonly mark: string;
  readonly base: BackupBase;
  readonly images: readonly Image[];
  readonly configuration: GuestConfiguration;
  /** Undefined when no image can have a bitmap. */
  readonly checkpoint: string | undefined;
};

/** @throws see backupMachine; vm_started, vm_unsupported (a disk that is no file or device of this host) */
export async function backupStoppedMachine(work: MachineBackupWork): Promise<MachineBackupOutcome> {
  const { options, domain } = work;
  const { repository, resource, isFull, signal } = options;
  const description = describeDomain(await domain.xml({ which: 'stored', signal }));
  const disks = selectMachineDisks(description, options.disks);
  const images: Image[] = [];
  for (const disk of disks) images.push(await lookAt(description, disk, signal));
  const mark = checkpointMark(repository, resource);
  const base = await chooseBase({
    repository,
    resource,
    disks,
    checkpoints: new Set(await domain.checkpoints.list({ signal })),
    bitmaps: new Map(images.map(({ disk, bitmaps }) => [disk.target, bitmaps])),
    isFull,
    restoredAt: description.restoredAt,
    signal,
  });
  const prepared: Prepared = {
    work,
    mark,
    base,
    images,
    configuration: await captureConfiguration({ domain, description, signal }),
    checkpoint: disks.some(isTracked) ? newCheckpointName(mark) : undefined,
  };
  let outcome: BackupOutcome;
  try {
    await beginChain(prepared);
    outcome = await transfer(prepared);
  } catch (error) {
    const cause = await explain(prepared, error).catch(() => error);
    if (prepared.checkpoint !== undefined) {
      await removeCheckpoints(prepared, (name) => name === prepared.checkpoint).catch(() => undefined);
    }
    throw cause;
  }
  const { checkpoint } = prepared;
  const isOld = (name: string): boolean => name.startsWith(`${mark}-`) && name !== checkpoint;
  try {
    await removeCheckpoints(prepared, isOld);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const warning = `An older checkpoint of ${domain.name} stays for now: ${error.message}`;
    return { point: outcome.point, warnings: [...outcome.warnings, warning], frozenMs: undefined };
  }
  return { point: outcome.point, warnings: outcome.warnings, frozenMs: undefined };
}

async function lookAt({ name }: DomainDescription, disk: DomainDisk, signal: AbortSignal | undefined): Promise<Image> {
  const { source, format = 'raw' } = disk;
  if ((source.kind !== 'file' && source.kind !== 'block') || (format !== 'qcow2' && format !== 'raw')) {
    const detail = `Disk ${disk.target} of ${name} is ${format} on ${source.kind}, which is read only while the machine runs.`;
    throw new HoldfastError('vm_unsupported', detail, {
      remedy: 'Start the machine, or leave this disk out with --disks.',
    });
  }
  const { path } = source;
  const bitmaps = format === 'qcow2' ? await listImageBitmaps({ path, signal }) : [];
  if (bitmaps.length === 0) return { disk, path, format, bitmaps };
  // libvirt puts those of an image on its overlay too, empty; while the machine runs, it takes them together.
  const below = await bitmapsBelow({ path, signal });
  return { disk, path, format, bitmaps: bitmaps.map((one) => ({ ...one, isInLayers: below.has(one.name) })) };
}

/** Before anything is read: what is written from here on is in the new bitmaps. */
async function beginChain({ work, images, checkpoint, configuration }: Prepared): Promise<void> {
  if (checkpoint === undefined) return;
  const { domain, options } = work;
  const tracked = images.filter(({ disk }) => isTracked(disk));
  for (const { path } of tracked) await addImageBitmap({ path, name: checkpoint, signal: options.signal });
  await domain.checkpoints.redefine({
    xml: redefinedCheckpointXml({
      name: checkpoint,
      disks: tracked.map(({ disk }) => disk.target),
      createdAtMs: options.repository.clock.nowMs(),
      domainXml: configuration.domain_xml,
    }),
    verify: false,
    signal: options.signal,
  });
}

async function transfer(prepared: Prepared): Promise<BackupOutcome> {
  const { work, base, images, checkpoint, configuration } = prepared;
  const { options, status } = work;
  const { signal } = options;
  await using stack = new AsyncDisposableStack();
  const disks: BackupDisk[] = [];
  for (const { disk, path, format } of images) {
    const { since, fallbackReason } = base.disks.find((one) => one.disk === disk) ?? {};
    const before = await stat(path, { bigint: true });
    const location = { kind: 'file', path } as const;
    const source = await openBlockSource({ location, format, bitmap: since, isUnlocked: true, signal });
    stack.use(source);
    disks.push({
      name: disk.target,
      source,
      changed: source.changed?.({ signal }),
      fallbackReason,
      bitmap: isTracked(disk) ? checkpoint : undefined,
      confirm: async () => {
        await source.confirmUnchanged?.();
        await refuseIfWritten(prepared, path, before);
      },
    });
  }
  return await backup({
    repository: options.repository,
    resource: options.resource,
    disks,
    parent: base.parent,
    // A guest that shut down has put everything in its place.
    consistency: status.reason === 'shutdown' ? 'application' : 'crash',
    label: options.label,
    guestConfiguration: encodeGuestConfiguration(configuration),
    level: options.level,
    onProgress: options.onProgress,
    signal,
  });
}

/** Nothing keeps the machine from starting meanwhile; a start and a stop may lie between two looks at it. */
async function refuseIfWritten({ work }: Prepared, path: string, before: BigIntStats): Promise<void> {
  const { domain, options } = work;
  const { state } = await domain.status({ signal: options.signal });
  const now = await stat(path, { bigint: true });
  if (state === 'shut_off' && now.mtimeNs === before.mtimeNs && now.size === before.size) return;
  throw new HoldfastError('vm_started', `${path} was written while it was read; ${domain.name} is ${state}.`);
}

/** Whatever fails when the machine was started fails because of it. */
async function explain({ work }: Prepared, error: unknown): Promise<unknown> {
  const { domain } = work;
  if (!hasCode(error, 'source_unreadable', 'source_changed', 'target_unwritable', 'nbd_failed', 'qemu_failed')) {
    return error;
  }
  const { state } = await domain.status();
  if (state === 'shut_off' || state === 'crashed') return error;
  return new HoldfastError('vm_started', `${domain.name} is ${state} by now.`, { cause: error });
}

/** With their bitmaps in the images. Of a machine that was started libvirt would have to do it, which the next backup does. */
async function removeCheckpoints({ work, images }: Prepared, isMeant: (name: string) => boolean): Promise<void> {
  const { domain } = work;
  for (const { path, format } of images) {
    if (format !== 'qcow2') continue;
    for (const { name } of (await listImageBitmaps({ path })).filter((bitmap) => isMeant(bitmap.name))) {
      await removeImageBitmap({ path, name });
    }
  }
  for (const checkpoint of (await domain.checkpoints.list()).filter(isMeant)) {
    await domain.checkpoints.remove({ checkpoint, metadataOnly: true });
  }
}

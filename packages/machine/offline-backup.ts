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
import { addImageBitmap, layersBelow, readImageBitmaps } from '@holdfast/hypervisor/bitmaps';
import {
  describeDomain,
  type DomainDescription,
  type DomainDisk,
  type DomainStatus,
  imageSource,
  pathOf,
  redefinedCheckpointXml,
} from '@holdfast/hypervisor/libvirt';
import { type BackupBase, checkpointMark, chooseBase, type DiskBitmap, newCheckpointName } from './backup-base.ts';
import type { MachineBackupOutcome, MachineBackupWork } from './backup-machine.ts';
import { captureConfiguration } from './capture-configuration.ts';
import { isStale, removeStoppedCheckpoints } from './checkpoint-care.ts';
import { encodeGuestConfiguration, type GuestConfiguration } from './guest-configuration.ts';
import { isTracked, type MachineDisk, selectMachineDisks, trackedImages } from './machine-disks.ts';

type Image = {
  readonly disk: MachineDisk;
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
  /** The qcow2 images of all its disks, also of those that are not backed up. */
  readonly trackedImages: readonly string[];
  readonly configuration: GuestConfiguration;
  /** Undefined when no image can have a bitmap. */
  readonly checkpoint: string | undefined;
};

/** @throws see backupMachine; vm_started, vm_unsupported (a disk that is no file or device of this host) */
export async function backupStoppedMachine(work: MachineBackupWork): Promise<MachineBackupOutcome> {
  const { options, domain } = work;
  const { libvirt, repository, resource, isFull, signal } = options;
  const warnings = await lessThanQuiet(work);
  const definition = describeDomain(await domain.xml({ which: 'stored', signal }));
  const stored = await libvirt.locateVolumes(definition, { signal });
  const images: Image[] = [];
  for (const disk of selectMachineDisks(stored, options.disks)) images.push(await lookAt(stored, disk, signal));
  const disks = images.map(({ disk }) => disk);
  const description = {
    ...stored,
    disks: stored.disks.map((disk) => disks.find(({ target }) => target === disk.target) ?? disk),
  };
  const mark = checkpointMark(repository, resource);
  const base = await chooseBase({
    repository,
    resource,
    disks,
    selection: options.disks,
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
    trackedImages: trackedImages(description),
    configuration: await captureConfiguration({ domain, description, signal }),
    checkpoint: disks.some(isTracked) ? newCheckpointName(mark) : undefined,
  };
  let outcome: BackupOutcome;
  try {
    await beginChain(prepared);
    outcome = await transfer(prepared);
  } catch (error) {
    const cause = await explain(prepared, error).catch(() => error);
    await removeCheckpoints(prepared, (name) => name === prepared.checkpoint).catch(() => undefined);
    throw cause;
  }
  warnings.push(...outcome.warnings);
  try {
    await removeCheckpoints(prepared, (name) => isStale(name, { mark, keep: prepared.checkpoint }));
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    warnings.push(`An older checkpoint of ${domain.name} stays for now: ${error.message}`);
  }
  return { point: outcome.point, warnings, frozenMs: undefined };
}

/**
 * What is missing to a guest that shut down.
 * @returns what to tell the user
 * @throws vm_state_invalid under `require`
 */
async function lessThanQuiet({ options, domain, status }: MachineBackupWork): Promise<string[]> {
  const isSaved = await domain.hasSavedMemory({ signal: options.signal });
  if (options.consistency === 'require' && (isSaved || !hasShutDown(status))) {
    const how = isSaved ? 'was suspended to disk' : `did not shut down as far as libvirt knows (${status.reason})`;
    throw new HoldfastError('vm_state_invalid', `${domain.name} is off and ${how}, so its disks may not be quiet.`, {
      remedy: 'Start it first, or back up with --consistency prefer.',
      facts: { vm: domain.name, state: status.state },
    });
  }
  if (!isSaved) return [];
  return [
    `${domain.name} is suspended to disk: the point does not hold its memory, so it is as after a loss of power.`,
  ];
}

/** Then everything is in its place. */
function hasShutDown({ reason }: DomainStatus): boolean {
  return reason === 'shutdown';
}

async function lookAt({ name }: DomainDescription, disk: DomainDisk, signal: AbortSignal | undefined): Promise<Image> {
  const { source, format = 'raw' } = disk;
  const path = pathOf(source);
  if (path === undefined || (format !== 'qcow2' && format !== 'raw')) {
    const detail = `Disk ${disk.target} of ${name} is ${format} on ${source.kind}, which is read only while the machine runs.`;
    throw new HoldfastError('vm_unsupported', detail, {
      remedy: 'Start the machine, or leave this disk out with --disks.',
    });
  }
  if (format === 'raw') return { disk: { ...disk, backing: [] }, path, format, bitmaps: [] };
  const { bitmaps, isOld } = await readImageBitmaps({ path, signal });
  const below = await layersBelow({ path, signal });
  // libvirt puts those of an image on its overlay too, empty; while the machine runs, it takes them together.
  const isInLayers = (name: string): boolean => below.some((layer) => layer.bitmaps.includes(name));
  return {
    // The definition of a machine that is off rarely tells the chain.
    disk: {
      ...disk,
      backing: below.map((image) => ({ source: imageSource(image.name), format: image.format })),
      hasOldImage: isOld,
    },
    path,
    format,
    bitmaps: bitmaps.map((bitmap) => ({ ...bitmap, isInLayers: isInLayers(bitmap.name) })),
  };
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
    const { since, fallbackReason } = base.disks.find((one) => one.disk.target === disk.target) ?? {};
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
    mayDisksDiffer: base.mayDisksDiffer,
    consistency: hasShutDown(status) ? 'application' : 'crash',
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
async function removeCheckpoints(prepared: Prepared, isMeant: (name: string) => boolean): Promise<void> {
  const { work, trackedImages: images } = prepared;
  await removeStoppedCheckpoints({ domain: work.domain, images, isStale: isMeant });
}

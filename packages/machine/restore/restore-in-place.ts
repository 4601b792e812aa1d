/**
 * A machine as it was at a point: fresh disks beside the old ones, swapped in its definition in one step. Nothing of the old
 * ones is written or removed (docs/design/semantics.md, 38).
 */
import { stat } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { type Clock, HoldfastError } from '@holdfast/base';
import type { ImageFormat } from '@holdfast/hypervisor';
import {
  describeDomain,
  type DiskPlace,
  type DiskSource,
  type Domain,
  type DomainDescription,
  type DomainDisk,
  editDomain,
  guestStatePlaces,
  isActive,
  type Libvirt,
} from '@holdfast/hypervisor/libvirt';
import { imagesBelow, isReadThrough, type OverlayJournal } from '@holdfast/hypervisor/snapshot';
import { removeStoppedCheckpoints } from '../checkpoint-care.ts';
import type { GuestConfiguration } from '../guest-configuration.ts';
import { trackedImages } from '../machine-disks.ts';
import { type ChosenDisk, chooseDisks } from './chosen-disks.ts';
import { restoreGuestState } from './guest-state.ts';
import { machineOfPoint } from './machine-of-point.ts';
import { alreadyThere, define, type RestoredMachine } from './restore-as-new.ts';
import type { RestorePlan } from './restore-plan.ts';
import { type PlanUse, UnfinishedRestore } from './unfinished-restore.ts';
import { type WriteOptions, writeDisks } from './write-disks.ts';

export type RestoreInPlaceOptions = WriteOptions & {
  readonly libvirt: Libvirt;
  /** Name or UUID; the machine that the point is of when absent. */
  readonly machine?: string | undefined;
  /** Of the point; all when empty. Other disks of the machine stay as they are. */
  readonly disks?: readonly string[];
  readonly format?: ImageFormat | undefined;
  /** Where the fresh disks go, absolute; beside the old ones when absent. */
  readonly directory?: string | undefined;
  /** Tells which images below the old disks are the machine's own. */
  readonly journal?: OverlayJournal | undefined;
  /** Where libvirt keeps UEFI variables that a definition does not name; its own when absent. */
  readonly stateDirectory?: string;
};

export type ReplacedDisk = RestorePlan['replaced'][number];

export type MachineInPlace = RestoredMachine & {
  /** What the machine used before: untouched, and its own no more. */
  readonly replaced: readonly ReplacedDisk[];
};

/**
 * The machine is off before and after. With all disks of the point its UEFI variables come back too; a TPM stays as it
 * is, and so does everything else of the definition. Checkpoints go, with their bitmaps in the disks that stay: fresh disks
 * have none, so that the next backup reads in full. A failure or an abort leaves machine and directory as they were; after
 * a kill the same call goes on.
 * @throws point_without_machine, disk_not_found, vm_not_found, vm_state_invalid, vm_disk_not_found, incompatible_target,
 *   vm_busy, target errors, storage errors, libvirt errors
 */
export async function restoreInPlace(options: RestoreInPlaceOptions): Promise<MachineInPlace> {
  const { point, libvirt, signal } = options;
  libvirt.refuseRemote();
  const configuration = await machineOfPoint(options);
  const domain = await findMachine(options, configuration);
  await refuseUnlessOff(domain, options);
  const xml = await domain.xml({ which: 'stored', signal });
  const current = describeDomain(xml);
  const chosen = chooseDisks({ point, configuration, names: options.disks ?? [], format: options.format });
  const wanted = planInPlace({ options, configuration, domain, current, chosen });
  await using unfinished = await UnfinishedRestore.open({
    directory: dirname(wanted.disks[0]!.path),
    plan: wanted,
    useOf: async (earlier) => await useOf(current, earlier),
  });
  const { plan, stage } = unfinished;
  let disks = alreadyThere(plan);
  if (stage !== 'done') {
    await unfinished.begin();
    disks = await writeDisks(unfinished, options);
    const fresh = swapped(xml, plan, options.repository.clock);
    await restoreGuestState({ configuration, plan, xml: fresh });
    await refuseUnlessOff(domain, options);
    await define(unfinished, libvirt, fresh);
  }
  const warnings = await removeCheckpoints(domain, options);
  await unfinished.finish();
  const replaced = options.journal
    ? await withImagesBelow({ replaced: plan.replaced, journal: options.journal, uuid: domain.uuid })
    : plan.replaced;
  return { domain, disks, nvramPath: plan.nvram ?? undefined, warnings, replaced };
}

/** Snapshots with overlays have left images below the old disks, which are the machine's no more either. */
export async function withImagesBelow(request: {
  readonly replaced: readonly ReplacedDisk[];
  readonly journal: OverlayJournal;
  readonly uuid: string;
}): Promise<readonly ReplacedDisk[]> {
  const { replaced, journal, uuid } = request;
  const all: ReplacedDisk[] = [];
  for (const { name, path } of replaced) {
    all.push({ name, path });
    if (!isAbsolute(path) || name === 'nvram') continue;
    // What cannot be looked at is not told of.
    const below = await imagesBelow({ journal, uuid, path }).catch(() => []);
    all.push(...below.map((image) => ({ name, path: image })));
  }
  return all;
}

/** With their bitmaps in the disks that stay: each would cost the machine's writes for ever. @returns what to tell the user */
async function removeCheckpoints(
  domain: Domain,
  { libvirt, signal }: RestoreInPlaceOptions,
): Promise<readonly string[]> {
  const description = describeDomain(await domain.xml({ which: 'stored', signal }));
  try {
    const images = trackedImages(await libvirt.locateVolumes(description, { signal }));
    await removeStoppedCheckpoints({ domain, images, isStale: () => true });
    return [];
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    await forgetCheckpoints(domain);
    return [`Dirty bitmaps of earlier backups stay in disks of ${domain.name} until its next backup: ${error.message}`];
  }
}

/** The one named; else the point's own, by its UUID, or by its name when it was made anew since. */
async function findMachine(
  { libvirt, machine, signal }: RestoreInPlaceOptions,
  { name, uuid }: GuestConfiguration,
): Promise<Domain> {
  if (machine !== undefined) return await libvirt.domain(machine, { signal });
  const known = await libvirt.domainNames({ signal });
  const own = known.find((one) => one.uuid === uuid) ?? known.find((one) => one.name === name);
  if (own) return await libvirt.domain(own.uuid, { signal });
  throw new HoldfastError('vm_not_found', `The machine of this point, ${name}, is not on this host`, {
    remedy: `Restore it as a new one: --as ${name} --directory DIR.`,
    facts: { vm: name },
  });
}

export async function refuseUnlessOff(
  domain: Domain,
  { signal }: { readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { name } = domain;
  const { state } = await domain.status({ signal });
  if (isActive(state)) {
    throw new HoldfastError('vm_state_invalid', `${name} is ${state}; its disks cannot be swapped`, {
      remedy: `Shut it down first (virsh shutdown ${name}), or restore it beside itself with --as NAME.`,
      facts: { vm: name, state },
    });
  }
  if (!(await domain.hasSavedMemory({ signal }))) return;
  throw new HoldfastError('vm_state_invalid', `${name} was suspended to disk; its memory does not fit other disks`, {
    remedy: `Start it and shut it down, or give its memory up: virsh managedsave-remove ${name}.`,
    facts: { vm: name, state },
  });
}

function planInPlace(request: {
  readonly options: RestoreInPlaceOptions;
  readonly configuration: GuestConfiguration;
  readonly domain: Domain;
  readonly current: DomainDescription;
  readonly chosen: readonly ChosenDisk[];
}): RestorePlan {
  const { options, configuration, domain, current, chosen } = request;
  const { repository, point, directory, stateDirectory } = options;
  const stamp = new Date(repository.clock.nowMs()).toISOString().replace(/[-:]|\.\d+/g, '');
  const replaced: ReplacedDisk[] = [];
  const disks = chosen.map(({ name, format }) => {
    const old = diskOf(current, name, point.manifest.id);
    replaced.push({ name, path: nameOf(old.source) });
    return { name, format, path: join(directory ?? besideOf(old), `${domain.name}-${name}-${stamp}.${format}`) };
  });
  const isWhole = chosen.length === point.manifest.disks.length;
  const { nvram } = guestStatePlaces({ domain: current, ...(stateDirectory !== undefined && { stateDirectory }) });
  const hasVariables = isWhole && configuration.nvram !== null && nvram !== undefined;
  if (hasVariables) replaced.push({ name: 'nvram', path: nvram });
  return {
    kind: 'in_place',
    repository: repository.configuration.repository,
    point: point.manifest.id,
    name: domain.name,
    uuid: domain.uuid,
    disks,
    nvram: hasVariables ? join(dirname(nvram), `${domain.name}_VARS-${stamp}.fd`) : null,
    tpm: null,
    replaced,
  };
}

function diskOf({ name: machine, disks }: DomainDescription, name: string, point: string): DomainDisk {
  const disk = disks.find(({ target }) => target === name);
  if (disk) return disk;
  const facts = { vm: machine, disk: name };
  throw new HoldfastError('vm_disk_not_found', `${machine} has no disk ${name}, which point ${point} holds`, {
    remedy: 'Name the disks to be restored with --disk, or bring this one into a file with --to.',
    facts,
  });
}

function besideOf({ target, source }: DomainDisk): string {
  if (source.kind === 'file') return dirname(source.path);
  throw new HoldfastError('incompatible_target', `The disk ${target} is no file, so there is no place beside it`, {
    remedy: 'Name the directory for the fresh disk with --directory.',
    facts: { disk: target },
  });
}

/** For people. */
function nameOf(source: DiskSource): string {
  switch (source.kind) {
    case 'file':
    case 'block':
      return source.path;
    case 'rbd':
      return `rbd:${source.pool}/${source.image}`;
    case 'volume':
      return `${source.volume} in the pool ${source.pool}`;
    case 'other':
      return source.name;
    case 'none':
      return 'nothing';
    default:
      return source satisfies never;
  }
}

/** `some` as well when the machine has written since, be it to overlays: then its disks are no longer as the point was. */
export async function useOf({ disks, restoredAt = '' }: DomainDescription, plan: RestorePlan): Promise<PlanUse> {
  const used = plan.disks.filter(({ name, path }) => isAt(disks, name, path));
  for (const { path: image } of plan.disks) {
    for (const { source } of disks)
      if (source.kind === 'file' && (await isReadThrough({ topmost: source.path, image }))) return 'some';
  }
  if (used.length === 0) return 'none';
  if (used.length < plan.disks.length) return 'some';
  for (const { path } of used) {
    const found = await stat(path).catch(() => undefined);
    if (!found || !(found.mtimeMs <= Date.parse(restoredAt))) return 'some';
  }
  return 'all';
}

function isAt(disks: readonly DomainDisk[], name: string, path: string): boolean {
  const source = disks.find(({ target }) => target === name)?.source;
  return source?.kind === 'file' && source.path === path;
}

/** It says when, so that the next backup begins a new series. */
export function swapped(xml: string, { disks, nvram }: RestorePlan, clock: Clock): string {
  return editDomain(xml, {
    restoredAt: new Date(clock.nowMs()).toISOString(),
    ...(nvram !== null && { nvramPath: nvram }),
    disks: new Map(disks.map(({ name, path, format }): [string, DiskPlace] => [name, { kind: 'file', path, format }])),
  });
}

export async function forgetCheckpoints({ checkpoints }: Domain): Promise<void> {
  for (const checkpoint of await checkpoints.list()) await checkpoints.remove({ checkpoint, metadataOnly: true });
}

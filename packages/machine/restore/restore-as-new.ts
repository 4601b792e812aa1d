/** A point as a machine of its own, beside the one that it was taken of. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError, hasCode } from '@holdfast/base';
import type { ImageFormat } from '@holdfast/hypervisor';
import { describeDomain, type Domain, guestStatePlaces, type Libvirt } from '@holdfast/hypervisor/libvirt';
import type { GuestConfiguration } from '../guest-configuration.ts';
import { chooseDisks } from './chosen-disks.ts';
import { restoreGuestState } from './guest-state.ts';
import { machineOfPoint } from './machine-of-point.ts';
import { newDefinition } from './new-definition.ts';
import type { RestorePlan } from './restore-plan.ts';
import { UnfinishedRestore } from './unfinished-restore.ts';
import { type RestoredDisk, type WriteOptions, writeDisks } from './write-disks.ts';

export type RestoreAsNewOptions = WriteOptions & {
  readonly libvirt: Libvirt;
  readonly name: string;
  /** Where the disks go; an absolute path that is there and that QEMU may enter. */
  readonly directory: string;
  /** Of the point; all when empty. The machine is made without the others. */
  readonly disks?: readonly string[];
  /** Of the images; as the source was when absent. */
  readonly format?: ImageFormat | undefined;
  /** Where libvirt keeps UEFI variables and TPMs; its own when absent. */
  readonly stateDirectory?: string | undefined;
};

export type RestoredMachine = {
  readonly domain: Domain;
  readonly disks: readonly RestoredDisk[];
  readonly nvramPath: string | undefined;
  readonly warnings: readonly string[];
};

/**
 * The machine has a new UUID, new MAC addresses and UEFI variables of its own, and is not started. libvirt knows it only
 * when all of it is there and durable. A failure or an abort leaves nothing behind; after a kill the same call goes on.
 * @throws point_without_machine, disk_not_found, vm_exists, vm_busy, target errors, storage errors, libvirt errors
 */
export async function restoreAsNewMachine(options: RestoreAsNewOptions): Promise<RestoredMachine> {
  const { repository, point, libvirt, name, directory, signal } = options;
  checkName(name);
  libvirt.refuseRemote();
  const configuration = await machineOfPoint(options);
  const disks = chooseDisks({ point, configuration, names: options.disks ?? [], format: options.format });
  const uuid = randomUUID();
  const wanted: RestorePlan = {
    kind: 'new',
    repository: repository.configuration.repository,
    point: point.manifest.id,
    name,
    uuid,
    disks: disks.map((disk) => ({ ...disk, path: join(directory, `${name}-${disk.name}.${disk.format}`) })),
    ...placesOfState(configuration, { name, uuid }, options.stateDirectory),
    replaced: [],
  };
  const known = await libvirt.domainNames({ signal });
  await using unfinished = await UnfinishedRestore.open({
    directory,
    plan: wanted,
    useOf: ({ uuid }) => (known.some((domain) => domain.uuid === uuid) ? 'all' : 'none'),
  });
  const { plan, stage } = unfinished;
  const { xml, warnings } = newDefinition({ configuration, plan, hasMedium: existsSync, clock: repository.clock });
  const nvramPath = plan.nvram ?? undefined;
  if (stage === 'done') {
    await unfinished.finish();
    return { domain: await libvirt.domain(name, { signal }), disks: alreadyThere(plan), nvramPath, warnings };
  }
  if (known.some((domain) => domain.name === name)) throw nameTaken(name);
  await unfinished.begin();
  const written = await writeDisks(unfinished, options);
  await restoreGuestState({ configuration, plan, xml, stateDirectory: options.stateDirectory });
  signal?.throwIfAborted();
  const domain = await define(unfinished, libvirt, xml);
  await unfinished.finish();
  return { domain, disks: written, nvramPath, warnings };
}

/** Where libvirt looks for them by itself: a definition need not name its UEFI variables, and never names its TPM's state. */
function placesOfState(
  { domain_xml: xml, nvram, tpm_state: tpmState }: GuestConfiguration,
  identity: { readonly name: string; readonly uuid: string },
  stateDirectory: string | undefined,
): Pick<RestorePlan, 'nvram' | 'tpm'> {
  const places = guestStatePlaces({
    domain: { ...describeDomain(xml), nvramPath: undefined, ...identity },
    ...(stateDirectory !== undefined && { stateDirectory }),
  });
  return { nvram: nvram ? (places.nvram ?? null) : null, tpm: tpmState?.length ? (places.tpm ?? null) : null };
}

/** Without a signal: it is one step, and short. */
export async function define(unfinished: UnfinishedRestore, libvirt: Libvirt, xml: string): Promise<Domain> {
  unfinished.leaveEverything();
  try {
    return await libvirt.define({ xml });
  } catch (error) {
    if (hasCode(error, 'libvirt_timeout', 'libvirt_unreachable')) {
      throw new HoldfastError(
        error.code,
        `Everything is restored, but whether libvirt knows it is unclear: ${error.message}`,
        {
          cause: error,
          remedy: 'When libvirt answers again, run the same command: it goes on from here.',
        },
      );
    }
    unfinished.leaveNothing();
    throw error;
  }
}

export function alreadyThere({ disks }: RestorePlan): readonly RestoredDisk[] {
  return disks.map((disk) => ({ ...disk, outcome: undefined }));
}

/** It is also the beginning of file names. libvirt refuses a slash, too. */
function checkName(name: string): void {
  if (/^[^/\s\p{Cc}]([^/\p{Cc}]*[^/\s\p{Cc}])?$/u.test(name)) return;
  throw new HoldfastError('usage', `${JSON.stringify(name)} cannot be the name of a machine`, {
    remedy: 'Use letters, digits, dots, dashes and underscores.',
  });
}

function nameTaken(name: string): HoldfastError {
  return new HoldfastError('vm_exists', `There is a machine ${name} already`, { facts: { vm: name } });
}

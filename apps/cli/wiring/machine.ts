/** The machine that a command works on, and what is noted of its snapshots. */
import type { Domain, Libvirt } from '@holdfast/hypervisor/libvirt';
import { SnapshotJournal } from '@holdfast/hypervisor/snapshot';
import { claimMachine } from '@holdfast/machine/claim';
import type { Context } from '../command/invocation.ts';
import { openMachines, stateDirectoryOf } from './machines.ts';

export type OpenedMachine = { readonly libvirt: Libvirt; readonly domain: Domain; readonly journal: SnapshotJournal };

/** @throws usage, vm_not_found, libvirt_remote, libvirt errors */
export async function openMachine(request: {
  readonly options: { readonly connect: string | undefined };
  readonly machine: string;
  readonly context: Context;
}): Promise<OpenedMachine> {
  const { options, machine, context } = request;
  const { libvirt, stateDirectory } = await openMachines(options, context);
  const domain = await libvirt.domain(machine, { signal: context.signal });
  return { libvirt, domain, journal: new SnapshotJournal({ stateDirectory }) };
}

/** The same for a command that changes the machine's disks: nobody else of us works on them meanwhile. @throws resource_busy */
export async function claimedMachine(
  request: Parameters<typeof openMachine>[0],
): Promise<OpenedMachine & AsyncDisposable> {
  const opened = await openMachine(request);
  const { name, uuid } = opened.domain;
  const claim = await claimMachine({ stateDirectory: stateDirectoryOf(request.context), uuid, name });
  return { ...opened, [Symbol.asyncDispose]: () => claim[Symbol.asyncDispose]() };
}

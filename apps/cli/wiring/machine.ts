/** The machine that a command works on, and what is noted of its snapshots. */
import type { Domain, Libvirt } from '@holdfast/hypervisor/libvirt';
import { SnapshotJournal } from '@holdfast/hypervisor/snapshot';
import type { Context } from '../command/invocation.ts';
import { openMachines } from './machines.ts';

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

/** The machine that a command works on, and what is noted of its snapshots. */
import { DEFAULT_CONNECTION, type Domain, Libvirt } from '@holdfast/hypervisor/libvirt';
import { SnapshotJournal, STATE_DIRECTORY } from '@holdfast/hypervisor/snapshot';
import type { Context } from '../command/invocation.ts';

export type OpenedMachine = { readonly libvirt: Libvirt; readonly domain: Domain; readonly journal: SnapshotJournal };

/** @throws usage, vm_not_found, libvirt_remote, libvirt errors */
export async function openMachine(request: {
  readonly options: { readonly connect: string | undefined };
  readonly machine: string;
  readonly context: Context;
}): Promise<OpenedMachine> {
  const { options, machine, context } = request;
  const { environment, signal } = context;
  const libvirt = new Libvirt({ uri: options.connect ?? DEFAULT_CONNECTION });
  const domain = await libvirt.domain(machine, { signal });
  const stateDirectory = environment['HOLDFAST_STATE_DIRECTORY'] ?? STATE_DIRECTORY;
  return { libvirt, domain, journal: new SnapshotJournal({ stateDirectory }) };
}

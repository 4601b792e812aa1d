/** Working on machines of this host: which libvirt, and where claims and scratch space are. */
import { join, resolve } from 'node:path';
import { DEFAULT_CONNECTION, Libvirt } from '@holdfast/hypervisor/libvirt';
import { settleLeftovers } from '@holdfast/machine';
import type { Context } from '../command/invocation.ts';
import { printable } from '../terminal/format.ts';

export type OpenedMachines = { readonly libvirt: Libvirt; readonly stateDirectory: string };

/**
 * First puts in order what commands left behind that died: a guest must not stay frozen because nobody backs it up again.
 * @throws usage, libvirt_remote, libvirt errors, scratch_unusable
 */
export async function openMachines(
  { connect = DEFAULT_CONNECTION }: { readonly connect: string | undefined },
  context: Context,
): Promise<OpenedMachines> {
  const { output, signal } = context;
  const libvirt = new Libvirt({ uri: connect });
  const stateDirectory = stateDirectoryOf(context);
  for (const told of await settleLeftovers({ libvirt, stateDirectory, signal })) output.warn(printable(told));
  return { libvirt, stateDirectory };
}

/** The same for every command of a host, so that they exclude each other. */
function stateDirectoryOf({ environment }: Context): string {
  const chosen = environment['HOLDFAST_STATE_DIRECTORY'];
  return chosen ? resolve(chosen) : '/var/lib/holdfast';
}

/** @param chosen by the user */
export function scratchDirectory({ stateDirectory }: OpenedMachines, chosen: string | undefined): string {
  return chosen === undefined ? join(stateDirectory, 'scratch') : resolve(chosen);
}

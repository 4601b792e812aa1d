/** Working on machines of this host: which libvirt, and where claims and scratch space are. */
import { join, resolve } from 'node:path';
import { DEFAULT_CONNECTION, Libvirt } from '@holdfast/hypervisor/libvirt';
import { settleLeftovers } from '@holdfast/machine/leftovers';
import type { Context } from '../command/invocation.ts';
import { printable } from '../terminal/format.ts';

/** Of the server's and the agent's too. */
const STATE_DIRECTORY = '/var/lib/holdfast';

export type OpenedMachines = { readonly libvirt: Libvirt; readonly stateDirectory: string };

/**
 * First puts in order what commands left behind on this host that died: a guest must not stay frozen because nobody backs it
 * up again.
 * @throws usage, libvirt errors
 */
export async function openMachines(
  { connect = DEFAULT_CONNECTION }: { readonly connect: string | undefined },
  context: Context,
): Promise<OpenedMachines> {
  const { output, signal } = context;
  const libvirt = new Libvirt({ uri: connect });
  const stateDirectory = stateDirectoryOf(context);
  if (!libvirt.uri.isLocal) return { libvirt, stateDirectory };
  for (const told of await settleLeftovers({ libvirt, stateDirectory, signal })) output.warn(printable(told));
  return { libvirt, stateDirectory };
}

/** The same for every command of a host, so that they exclude each other. */
export function stateDirectoryOf({ environment }: Context): string {
  const chosen = environment['HOLDFAST_STATE_DIRECTORY'];
  return chosen ? resolve(chosen) : STATE_DIRECTORY;
}

/** @param chosen by the user */
export function scratchDirectory({ stateDirectory }: OpenedMachines, chosen: string | undefined): string {
  return chosen === undefined ? join(stateDirectory, 'scratch') : resolve(chosen);
}

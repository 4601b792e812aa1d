/** What a machine has beside its disks, out of a point and into its place: UEFI variables and the state of its TPM. */
import { rm } from 'node:fs/promises';
import { describeDomain, type GuestStateFile, placeGuestState } from '@holdfast/hypervisor/libvirt';
import type { GuestConfiguration } from '../guest-configuration.ts';
import type { RestorePlan } from './restore-plan.ts';

/**
 * As far as the plan has a place for it. What a killed run has put there is replaced.
 * @param options.xml the definition that the machine is going to have
 * @throws target_unwritable
 */
export async function restoreGuestState(options: {
  readonly configuration: GuestConfiguration;
  readonly plan: RestorePlan;
  readonly xml: string;
  readonly stateDirectory?: string | undefined;
}): Promise<void> {
  const { configuration, plan, xml, stateDirectory } = options;
  const files: GuestStateFile[] = [];
  if (plan.nvram !== null && configuration.nvram) {
    files.push({ name: 'nvram', bytes: configuration.nvram });
    await rm(plan.nvram, { force: true });
  }
  if (plan.tpm !== null) {
    for (const { path, content } of configuration.tpm_state ?? []) files.push({ name: `tpm/${path}`, bytes: content });
    await rm(plan.tpm, { force: true, recursive: true });
  }
  await placeGuestState({
    domain: describeDomain(xml),
    files,
    ...(stateDirectory !== undefined && { stateDirectory }),
  });
}

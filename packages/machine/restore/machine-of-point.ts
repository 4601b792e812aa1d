/** What a point keeps of its machine, for restores that need it. */
import { HoldfastError } from '@holdfast/base';
import type { Repository, RestorePoint } from '@holdfast/engine';
import { type GuestConfiguration, guestConfigurationOf } from '../guest-configuration.ts';

/** @throws point_without_machine, and what guestConfigurationOf throws */
export async function machineOfPoint(request: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly signal?: AbortSignal | undefined;
}): Promise<GuestConfiguration> {
  const configuration = await guestConfigurationOf(request);
  if (configuration) return configuration;
  const { id, resource } = request.point.manifest;
  throw new HoldfastError('point_without_machine', `Point ${id} of ${resource} keeps disks and no machine`, {
    facts: { point: id },
  });
}

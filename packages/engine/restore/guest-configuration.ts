/** What a point keeps of its machine besides the disks, as whoever made the point gave it. */
import type { RestorePoint } from '../manifest/points.ts';
import { readFrame } from '../pack/frame-reader.ts';
import type { Repository } from '../repository/repository.ts';

/**
 * Undefined for a point that has none. It opens no session: a point that is purged meanwhile reads as damaged.
 * @throws chunk_corrupt, repository_damaged, key_missing, storage errors
 */
export async function readGuestConfiguration(request: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly signal?: AbortSignal | undefined;
}): Promise<Buffer | undefined> {
  const { repository, point, signal } = request;
  const reference = point.manifest.guest_configuration;
  return reference ? await readFrame(repository, { kind: 'guestConfiguration', reference, signal }) : undefined;
}

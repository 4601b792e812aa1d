/** Which forwardings a session has put: what its verdict is made of (rule *fence* of ADR 0007). */
import { hasCode, runLanes } from '@holdfast/base';
import { movedName, movedPrefix, parseMovedKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { decodeForwarding } from './forwarding-record.ts';

/** Records are a few KiB; this many at once hide a network storage's latency. */
const recordLanes = 16;

/**
 * Names of what is listed now, in order. Every record is read, as its key does not say whose it is; one that cannot be
 * read is named too: it may be of this session, and of another one it changes nothing.
 * @throws storage errors
 */
export async function listForwardingsOf(
  repository: Repository,
  sessionId: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const { store, domain } = repository;
  const names: string[] = [];
  await runLanes({
    jobs: store.list(movedPrefix(domain), { signal }),
    lanes: recordLanes,
    signal,
    run: async ({ key }) => {
      const parsed = parseMovedKey(domain, key);
      if (!parsed) return;
      try {
        const record = decodeForwarding(key, await store.get(key, { signal }), parsed.packId);
        if (record.sessionId === sessionId) names.push(movedName(parsed));
      } catch (error) {
        // It went since the listing, together with the last point that needed it.
        if (hasCode(error, 'object_not_found')) return;
        if (!hasCode(error, 'repository_damaged')) throw error;
        names.push(movedName(parsed));
      }
    },
  });
  return names.sort();
}

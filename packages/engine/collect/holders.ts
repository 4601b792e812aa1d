/** Who keeps a collection waiting, and the end of those that are known to be dead. Rules *condemn* and *fence*. */
import type { Repository } from '../repository/repository.ts';
import { listFences } from '../session/fences.ts';
import { livenessOf } from '../session/process-identity.ts';
import { fenceSession, listSessions, type SessionRecord } from '../session/session.ts';
import { sessionsPrefix } from '../repository/layout.ts';

export type Holder = SessionRecord & { readonly liveness: ReturnType<typeof livenessOf> };

/** Of these sessions those that have not ended. */
export async function remaining(
  repository: Repository,
  sessionIds: Iterable<string>,
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const wanted = new Set(sessionIds);
  const open = new Set<string>();
  if (wanted.size === 0) return open;
  for await (const { key } of repository.store.list(sessionsPrefix, { signal })) {
    const id = key.slice(sessionsPrefix.length);
    if (wanted.has(id)) open.add(id);
  }
  return open;
}

/**
 * Ends the sessions whose process is known to be dead on this host, those that somebody began to fence, and those that the
 * operator gave up: by id, or by age. Answers their ids.
 */
export async function fenceDead(request: {
  readonly repository: Repository;
  readonly sessionIds?: readonly string[] | undefined;
  readonly olderThanMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly string[]> {
  const { repository, sessionIds = [], olderThanMs, signal } = request;
  const dead = new Set(await remaining(repository, sessionIds, signal));
  for (const id of dead) await fenceSession(repository, id, signal);
  const fences = await listFences({ repository, signal });
  const nowMs = repository.clock.nowMs();
  for (const session of await listSessions(repository, signal)) {
    const ageMs = nowMs - Date.parse(session.started_at);
    const isDead =
      livenessOf(session.process) === 'dead' ||
      fences.has(session.id) ||
      (olderThanMs !== undefined && ageMs > olderThanMs);
    if (!isDead) continue;
    await fenceSession(repository, session.id, signal);
    dead.add(session.id);
  }
  // Also of sessions that had ended before: nobody builds on what one did that is fenced and has no verdict.
  for (const [id, { settled }] of fences) if (!settled && !dead.has(id)) await fenceSession(repository, id, signal);
  return [...dead];
}

/**
 * Ids of readers whose point is not among these, which are listed by now and count: it was purged since they looked at it,
 * and perhaps packs of it were condemned before they began.
 */
export async function readersOfOthers(
  repository: Repository,
  counting: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const sessions = await listSessions(repository, signal);
  return sessions.flatMap(({ id, point }) => (point !== null && !counting.has(point) ? [id] : []));
}

/** What is known of sessions that hold something back. */
export async function describeHolders(
  repository: Repository,
  sessionIds: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<readonly Holder[]> {
  const sessions = await listSessions(repository, signal);
  return sessions
    .filter(({ id }) => sessionIds.has(id))
    .map((session) => ({ ...session, liveness: livenessOf(session.process) }));
}

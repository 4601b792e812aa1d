/**
 * Fences and verdicts (rule *fence* of ADR 0007). A fence ends a session from outside; its verdict, put once, says for
 * everybody and for ever which point and which forwardings of the session count. While there is no verdict, all that has
 * landed does. Neither is ever deleted: a manifest or a forwarding may land at any time.
 */
import { hasCode } from '@holdfast/base';
import { z } from 'zod';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { fenceKey, fencesPrefix, parseFenceKey, verdictKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

const verdictSchema = z.strictObject({
  version: z.literal(1),
  session: z.string(),
  /** Id of the point that counts. */
  committed: z.string().nullable(),
  /** Forwardings that count, as their keys end: `<packid>.<n>`. */
  forwarded: z.array(z.string().regex(/^[0-9a-f]{64}\.[1-9]\d{0,8}$/)),
});

export type Verdict = {
  /** Id of the session's point that counts, or null when none does. */
  readonly committed: string | null;
  /** Names of its forwardings that count. */
  readonly forwarded: readonly string[];
};

/** Of each fenced session, whether there is a verdict. */
export type Fences = ReadonlyMap<string, { readonly settled: boolean }>;

/** @param request.sessionId only the fence of this one */
export async function listFences(request: {
  readonly repository: Repository;
  readonly sessionId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<Fences> {
  const { repository, sessionId, signal } = request;
  const fences = new Map<string, { settled: boolean }>();
  for await (const { key } of repository.store.list(sessionId === undefined ? fencesPrefix : fenceKey(sessionId), {
    signal,
  })) {
    const parsed = parseFenceKey(key);
    if (!parsed) continue;
    const fence = fences.get(parsed.sessionId) ?? { settled: false };
    fences.set(parsed.sessionId, { settled: fence.settled || parsed.kind === 'verdict' });
  }
  return fences;
}

/** Idempotent: the first fence stays. @throws storage errors */
export async function putFence(repository: Repository, sessionId: string, signal?: AbortSignal): Promise<void> {
  const content = {
    version: 1,
    session: sessionId,
    fenced_at: new Date(repository.clock.nowMs()).toISOString(),
  };
  await putOnce(repository, { key: fenceKey(sessionId), content, signal });
}

/** Puts the verdict; one that is there already stands. Answers the verdict that holds. @throws storage errors */
export async function settleVerdict(request: {
  readonly repository: Repository;
  readonly sessionId: string;
  readonly verdict: Verdict;
  readonly signal?: AbortSignal | undefined;
}): Promise<Verdict> {
  const { repository, sessionId, verdict, signal } = request;
  const content = { version: 1, session: sessionId, ...verdict };
  const first = await putOnce(repository, { key: verdictKey(sessionId), content, signal });
  return first ? verdict : await readVerdict(repository, sessionId, signal);
}

/** @throws object_not_found, repository_damaged, storage errors */
export async function readVerdict(repository: Repository, sessionId: string, signal?: AbortSignal): Promise<Verdict> {
  const key = verdictKey(sessionId);
  return decodeDocument(key, await repository.store.get(key, { signal }), verdictSchema);
}

async function putOnce(
  repository: Repository,
  object: { readonly key: string; readonly content: object; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  const { key, content, signal } = object;
  try {
    await repository.store.put(key, { buffers: [encodeDocument(content)] }, { ifAbsent: true, signal });
    return true;
  } catch (error) {
    if (!hasCode(error, 'object_exists')) throw error;
    return false;
  }
}

/** Undefined while there is none. @throws repository_damaged, storage errors */
export async function settledVerdictOf(
  repository: Repository,
  sessionId: string,
  signal?: AbortSignal,
): Promise<Verdict | undefined> {
  try {
    return await readVerdict(repository, sessionId, signal);
  } catch (error) {
    if (!hasCode(error, 'object_not_found')) throw error;
    return undefined;
  }
}

/**
 * Sessions: whoever writes or reads packs says so first, so that collection waits for it (safety argument, steps 1 and 8).
 * The object is put before parent, index or `gc/` are read, and deleted at the end. A session whose process died ends
 * only by a fence (fences.ts): its verdict says whether its point counts, however late the manifest lands.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, hasCode, newId } from '@holdfast/base';
import { z } from 'zod';
import { doesCount } from '../manifest/point-states.ts';
import { listPoints, type RestorePoint, readPointState } from '../manifest/points.ts';
import { nonceBytes } from '../pack/pack-format.ts';
import { listForwardingsOf } from '../pack/session-forwardings.ts';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { sessionKey, sessionSpillPrefix, sessionsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { putFence, settleVerdict } from './fences.ts';
import { livenessOf, ownProcessIdentity, processIdentitySchema } from './process-identity.ts';

/** Two writers that see each other at once both look again after this; the younger one has then withdrawn. */
const withdrawalMs = 1500;

const sessionSchema = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  role: z.enum(['writer', 'reader', 'keeper']),
  resource: z.string().nullable(),
  /** What a reader reads: who decides what goes waits for it once the point does not count any more. */
  point: z.string().nullable(),
  /** Of the packs that it puts, as their headers have it: what tells a pack in the making from garbage. */
  nonce: z.string().regex(/^[0-9a-f]{32}$/),
  started_at: z.iso.datetime(),
  process: processIdentitySchema,
});
export type SessionRecord = z.output<typeof sessionSchema>;

export interface Session extends AsyncDisposable {
  readonly id: string;
  /** 16 bytes that no other session has; goes into pack headers. */
  readonly nonce: Buffer;
  /** From now on disposing leaves its object where it is: what it did is unclear, and only a fence settles that. */
  leave(): void;
}

export type OpenSessionOptions = {
  readonly repository: Repository;
  /** A keeper's session is one that puts packs without making a point. */
  readonly role: SessionRecord['role'];
  /** What a writer backs up; two writers of one resource exclude each other. */
  readonly resource?: string | undefined;
  /** Id of the point that a reader reads. */
  readonly pointId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Disposing ends the session and never throws: what became of the work is the answer, and a session whose object stays
 * is found dead later. A reader on a storage that may not be written gets a session without an object: nothing
 * can be collected there under its own rights either.
 * @throws resource_busy, storage errors
 */
export async function openSession(options: OpenSessionOptions): Promise<Session> {
  const { repository, role, resource, pointId, signal } = options;
  const { store, clock } = repository;
  const id = newId('ses', clock);
  const nonce = randomBytes(nonceBytes);
  const record: SessionRecord = {
    version: 1,
    id,
    role,
    resource: resource ?? null,
    point: pointId ?? null,
    nonce: nonce.toString('hex'),
    started_at: new Date(clock.nowMs()).toISOString(),
    process: ownProcessIdentity(),
  };
  let left = false;
  const session = {
    id,
    nonce,
    leave: () => {
      left = true;
    },
    [Symbol.asyncDispose]: async () => {
      if (!left) await store.delete(sessionKey(id)).catch(() => undefined);
    },
  };
  try {
    await store.put(sessionKey(id), { buffers: [encodeDocument(record)] }, { ifAbsent: true, signal });
  } catch (error) {
    if (role === 'reader' && hasCode(error, 'storage_denied')) {
      session.leave();
      return session;
    }
    // The put may have arrived although its acknowledgement did not.
    await session[Symbol.asyncDispose]();
    throw error;
  }
  if (role === 'writer' && resource !== undefined) {
    try {
      await excludeOthers({ repository, id, resource, signal });
    } catch (error) {
      await session[Symbol.asyncDispose]();
      throw error;
    }
  }
  return session;
}

/**
 * A reader's session for a point that was found before (rule *read*): from here on what the point refers to stays.
 * @throws point_not_found when it went in between, storage errors
 */
export async function openReaderSession(options: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly signal?: AbortSignal | undefined;
}): Promise<Session> {
  const { repository, point, signal } = options;
  const { id: pointId, resource } = point.manifest;
  const session = await openSession({ repository, role: 'reader', resource, pointId, signal });
  try {
    // A point in the trash is whole; one that is being purged may lose its packs to a collection that began before.
    const state = await readPointState(repository, point, signal);
    if (state && doesCount(state)) return session;
    throw new HoldfastError('point_not_found', `Point ${pointId} does not exist any more.`);
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** Every session object on the storage. */
export async function listSessions(repository: Repository, signal?: AbortSignal): Promise<SessionRecord[]> {
  const records: SessionRecord[] = [];
  for await (const { key } of repository.store.list(sessionsPrefix, { signal })) {
    try {
      records.push(decodeDocument(key, await repository.store.get(key, { signal }), sessionSchema));
    } catch (error) {
      if (hasCode(error, 'repository_damaged')) throw unreadable(key, error);
      // It ended between list and get.
      if (!hasCode(error, 'object_not_found')) throw error;
    }
  }
  return records;
}

/**
 * Ends a session (rule *fence*). Its point and its forwardings count if they are listed by now; whatever lands from now on
 * is void. Idempotent, and goes on where a fence was interrupted.
 * @throws storage errors, key_missing, repository_newer when one of the points needs a newer version to be read
 */
export async function fenceSession(repository: Repository, sessionId: string, signal?: AbortSignal): Promise<void> {
  const { store } = repository;
  await putFence(repository, sessionId, signal);
  // Only now is anything listed: whoever saw it before the fence finds it in the verdict.
  const session = await readSession(repository, sessionId, signal);
  const mayBe = (role: SessionRecord['role']) => !session || session.role === role;
  const resource = session?.resource ?? undefined;
  const verdict = {
    committed: mayBe('writer') ? await listedPointOf({ repository, sessionId, resource, signal }) : null,
    forwarded: mayBe('keeper') ? await listForwardingsOf(repository, sessionId, signal) : [],
  };
  await settleVerdict({ repository, sessionId, verdict, signal });
  for await (const { key } of store.list(sessionSpillPrefix(sessionId), { signal }))
    await store.delete(key, { signal });
  await store.delete(sessionKey(sessionId), { signal });
}

/** Id of the point that the session committed. A manifest that cannot be read could not be restored from either. */
async function listedPointOf(request: {
  readonly repository: Repository;
  readonly sessionId: string;
  readonly resource: string | undefined;
  readonly signal: AbortSignal | undefined;
}): Promise<string | null> {
  const { sessionId } = request;
  const { points, damaged } = await listPoints({
    ...request,
    states: ['available', 'trashed', 'purging', 'void'],
  });
  const newer = damaged.find(({ error }) => error.code === 'repository_newer');
  if (newer) throw newer.error;
  return points.find(({ manifest }) => manifest.session === sessionId)?.manifest.id ?? null;
}

/** Undefined when it ended, or when its record is damaged: a fence must be able to end that one too. */
async function readSession(
  repository: Repository,
  sessionId: string,
  signal: AbortSignal | undefined,
): Promise<SessionRecord | undefined> {
  const key = sessionKey(sessionId);
  try {
    return decodeDocument(key, await repository.store.get(key, { signal }), sessionSchema);
  } catch (error) {
    if (!hasCode(error, 'object_not_found', 'repository_damaged')) throw error;
    return undefined;
  }
}

function unreadable(key: string, cause: HoldfastError): HoldfastError {
  return new HoldfastError('repository_damaged', cause.message, {
    cause,
    remedy: `Find out who works in this repository; when nobody does, end this session with holdfast collect --fence ${key.slice(sessionsPrefix.length)}.`,
  });
}

async function excludeOthers(options: {
  readonly repository: Repository;
  readonly id: string;
  readonly resource: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { repository, id, resource, signal } = options;
  const rivals = async () => {
    const others = (await listSessions(repository, signal)).filter(
      (other) => other.role === 'writer' && other.resource === resource && other.id !== id,
    );
    for (const dead of others.filter((other) => livenessOf(other.process) === 'dead')) {
      await fenceSession(repository, dead.id, signal);
    }
    return others.filter((other) => livenessOf(other.process) !== 'dead');
  };
  let found = await rivals();
  // Whoever is older stays. A younger rival has seen this session if both are alive, and withdraws.
  if (found.length > 0 && found.every((other) => other.id > id)) {
    await sleep(withdrawalMs, undefined, signal ? { signal } : {});
    found = await rivals();
  }
  const rival = found[0];
  if (!rival) return;
  throw new HoldfastError(
    'resource_busy',
    `${resource} is being backed up by process ${rival.process.pid} on ${rival.process.host} since ${rival.started_at} (session ${rival.id}).`,
    { facts: { session: rival.id, host: rival.process.host, pid: rival.process.pid } },
  );
}

/**
 * Sessions: whoever writes or reads packs says so first, so that collection waits for it (safety argument, steps 1 and 8).
 * The object is put before parent, index or `gc/` are read, and deleted at the end. A session whose process died ends
 * only by a fence: a manifest of a fenced session is void, however late it lands.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, hasCode, newId } from '@holdfast/base';
import { z } from 'zod';
import type { RestorePoint } from '../manifest/points.ts';
import { nonceBytes } from '../pack/pack-format.ts';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { fenceKey, sessionKey, sessionSpillPrefix, sessionsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { livenessOf, ownProcessIdentity, processIdentitySchema } from './process-identity.ts';

/** Two writers that see each other at once both look again after this; the younger one has then withdrawn. */
const withdrawalMs = 1500;

const sessionSchema = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  role: z.enum(['writer', 'reader']),
  resource: z.string().nullable(),
  started_at: z.iso.datetime(),
  process: processIdentitySchema,
});
export type SessionRecord = z.output<typeof sessionSchema>;

export interface Session extends AsyncDisposable {
  readonly id: string;
  /** 16 bytes that no other session has; goes into pack headers. */
  readonly nonce: Buffer;
}

export type OpenSessionOptions = {
  readonly repository: Repository;
  readonly role: 'writer' | 'reader';
  /** What a writer backs up; two writers of one resource exclude each other. */
  readonly resource?: string | undefined;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Disposing ends the session and never throws: what became of the work is the answer, and a session whose object stays
 * is found dead later. A reader on a storage that may not be written gets a session without an object: nothing
 * can be collected there under its own rights either.
 * @throws resource_busy, storage errors
 */
export async function openSession(options: OpenSessionOptions): Promise<Session> {
  const { repository, role, resource, signal } = options;
  const { store, clock } = repository;
  const id = newId('ses', clock);
  const record: SessionRecord = {
    version: 1,
    id,
    role,
    resource: resource ?? null,
    started_at: new Date(clock.nowMs()).toISOString(),
    process: ownProcessIdentity(),
  };
  const session = {
    id,
    nonce: randomBytes(nonceBytes),
    [Symbol.asyncDispose]: async () => await store.delete(sessionKey(id)).catch(() => undefined),
  };
  try {
    await store.put(sessionKey(id), { buffers: [encodeDocument(record)] }, { ifAbsent: true, signal });
  } catch (error) {
    if (role === 'reader' && hasCode(error, 'storage_denied'))
      return { ...session, [Symbol.asyncDispose]: async () => {} };
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
 * A reader's session for a point that was found before: from here on what the point refers to stays.
 * @throws point_not_found when it went in between, storage errors
 */
export async function openReaderSession(options: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly signal?: AbortSignal | undefined;
}): Promise<Session> {
  const { repository, point, signal } = options;
  const session = await openSession({ repository, role: 'reader', resource: point.manifest.resource, signal });
  try {
    if (await repository.store.head(point.key, { signal })) return session;
    throw new HoldfastError('point_not_found', `Point ${point.manifest.id} does not exist any more.`);
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
      // It ended between list and get.
      if (!hasCode(error, 'object_not_found')) throw error;
    }
  }
  return records;
}

/** Ends somebody else's session: nothing it commits from now on counts. Idempotent. */
export async function fenceSession(repository: Repository, sessionId: string, signal?: AbortSignal): Promise<void> {
  const { store, clock } = repository;
  const content = { version: 1, session: sessionId, fenced_at: new Date(clock.nowMs()).toISOString() };
  await store.put(fenceKey(sessionId), { buffers: [encodeDocument(content)] }, { signal });
  for await (const { key } of store.list(sessionSpillPrefix(sessionId), { signal }))
    await store.delete(key, { signal });
  await store.delete(sessionKey(sessionId), { signal });
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

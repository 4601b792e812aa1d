/**
 * Trash records (rule *trash* of ADR 0007): record n+1 is put, create-only, by whoever read record n, so of a delete, an
 * undelete and a purge at once exactly one happens. The highest number counts. `purging` is final.
 */
import { hasCode } from '@holdfast/base';
import { z } from 'zod';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { parseTombKey, tombKey, tombsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

const tombSchema = z.strictObject({
  version: z.literal(1),
  point: z.string(),
  state: z.enum(['deleted', 'undeleted', 'purging']),
  at: z.iso.datetime(),
  /** Of the point, so that a number of a series does not come again; null for a legacy point or an unreadable manifest. */
  series: z.string().nullable(),
  increment_id: z.int().min(1).nullable(),
});
export type Tomb = z.output<typeof tombSchema>;

/** The highest record's number of each point that has one. @param request.pointId only of this one */
export async function listTombs(request: {
  readonly repository: Repository;
  readonly pointId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<Map<string, number>> {
  const { repository, pointId, signal } = request;
  const highest = new Map<string, number>();
  for await (const { key } of repository.store.list(tombsPrefix(repository.domain, pointId), { signal })) {
    const parsed = parseTombKey(repository.domain, key);
    if (parsed) highest.set(parsed.pointId, Math.max(parsed.number, highest.get(parsed.pointId) ?? 0));
  }
  return highest;
}

/** Undefined when it is gone: purged long ago. @throws repository_damaged, storage errors */
export async function readTomb(
  repository: Repository,
  record: { readonly pointId: string; readonly number: number; readonly signal?: AbortSignal | undefined },
): Promise<Tomb | undefined> {
  const key = tombKey({ domain: repository.domain, ...record });
  try {
    return decodeDocument(key, await repository.store.get(key, { signal: record.signal }), tombSchema);
  } catch (error) {
    if (!hasCode(error, 'object_not_found')) throw error;
    return undefined;
  }
}

/** Answers false when somebody else put this number first. @throws storage errors */
export async function putTomb(
  repository: Repository,
  record: {
    readonly number: number;
    readonly tomb: Omit<Tomb, 'version' | 'at'>;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<boolean> {
  const { number, tomb, signal } = record;
  const content: Tomb = { version: 1, ...tomb, at: new Date(repository.clock.nowMs()).toISOString() };
  const key = tombKey({ domain: repository.domain, pointId: tomb.point, number });
  try {
    await repository.store.put(key, { buffers: [encodeDocument(content)] }, { ifAbsent: true, signal });
    return true;
  } catch (error) {
    if (!hasCode(error, 'object_exists')) throw error;
    return false;
  }
}

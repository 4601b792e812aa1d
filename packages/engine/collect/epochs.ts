/**
 * Epochs of collection: the condemned list, its holders and its outcome as they lie on the storage (rules *condemn* and
 * *decide* of ADR 0007). An epoch is open from its condemned list to the end of its sweep; any keeper carries it on.
 */
import { randomBytes } from 'node:crypto';
import { hasCode } from '@holdfast/base';
import { z } from 'zod';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { collectionPrefix, type EpochPart, epochKey, parseEpochKey, sessionsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { type CondemnedPack, condemnedSchema, packIdSchema } from './condemned.ts';

const holdersSchema = z.strictObject({ version: z.literal(1), sessions: z.array(z.string()) });
const outcomeSchema = z.strictObject({
  version: z.literal(1),
  deleted: z.array(packIdSchema),
  taken_back: z.array(packIdSchema),
});

export type Outcome = { readonly deleted: readonly string[]; readonly taken_back: readonly string[] };

export type Epoch = {
  readonly name: string;
  /** Absent when the sweep has removed the list already. */
  readonly packs: readonly CondemnedPack[] | undefined;
  readonly hasHolders: boolean;
  readonly hasOutcome: boolean;
};

/** Epochs of which anything is there, oldest first. @throws repository_damaged, storage errors */
export async function listEpochs(repository: Repository, signal?: AbortSignal): Promise<Epoch[]> {
  const parts = new Map<string, Set<EpochPart>>();
  for await (const { key } of repository.store.list(collectionPrefix, { signal })) {
    const parsed = parseEpochKey(key);
    if (parsed) parts.set(parsed.epoch, (parts.get(parsed.epoch) ?? new Set()).add(parsed.part));
  }
  const epochs: Epoch[] = [];
  for (const [name, present] of [...parts].sort(([left], [right]) => (left < right ? -1 : 1))) {
    const list = present.has('condemned')
      ? await readPart({ repository, name, part: 'condemned', schema: condemnedSchema, signal })
      : undefined;
    const hasOutcome = present.has('outcome');
    epochs.push({ name, packs: list?.packs, hasHolders: present.has('holders'), hasOutcome });
  }
  return epochs;
}

/** Puts the condemned list under a name that never was. @param before the epochs that were listed */
export async function putEpoch(
  repository: Repository,
  request: {
    readonly before: readonly Epoch[];
    readonly packs: readonly CondemnedPack[];
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Epoch> {
  const { before, packs, signal } = request;
  const number = Math.max(0, ...before.map((epoch) => Number(epoch.name.slice(0, 8)))) + 1;
  const name = `${String(number).padStart(8, '0')}-${randomBytes(4).toString('hex')}`;
  const body = { buffers: [encodeDocument({ version: 1, packs })] };
  await repository.store.put(epochKey(name, 'condemned'), body, { ifAbsent: true, signal });
  return { name, packs, hasHolders: false, hasOutcome: false };
}

/** Ids of the sessions that began before the packs were condemned; listed now if that was not noted. */
export async function holdersOf(
  repository: Repository,
  epoch: Epoch,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const noted = epoch.hasHolders ? await readHolders(repository, epoch.name, signal) : undefined;
  if (noted) return noted;
  const sessions = await sessionIds(repository, signal);
  const { name } = epoch;
  const body = { buffers: [encodeDocument({ version: 1, sessions })] };
  await repository.store.put(epochKey(name, 'holders'), body, { signal });
  return sessions;
}

/** The same without noting anything. */
export async function holdersListed(
  repository: Repository,
  name: string,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  return (await readHolders(repository, name, signal)) ?? (await sessionIds(repository, signal));
}

async function readHolders(
  repository: Repository,
  name: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[] | undefined> {
  return (await readPart({ repository, name, part: 'holders', schema: holdersSchema, signal }))?.sessions;
}

async function sessionIds(repository: Repository, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const listed = await Array.fromAsync(repository.store.list(sessionsPrefix, { signal }));
  return listed.map(({ key }) => key.slice(sessionsPrefix.length));
}

/** Puts the outcome, or answers the one that is there: that one is carried out. */
export async function settleOutcome(
  repository: Repository,
  request: { readonly epoch: Epoch; readonly outcome: Outcome; readonly signal?: AbortSignal | undefined },
): Promise<Outcome> {
  const { epoch, outcome, signal } = request;
  const body = { buffers: [encodeDocument({ version: 1, ...outcome })] };
  try {
    await repository.store.put(epochKey(epoch.name, 'outcome'), body, { ifAbsent: true, signal });
    return outcome;
  } catch (error) {
    if (!hasCode(error, 'object_exists')) throw error;
  }
  // Swept between the two: then all its packs are gone, and this outcome, put again, names nothing that is there.
  return (await readOutcome(repository, epoch.name, signal)) ?? (await settleOutcome(repository, request));
}

/** Undefined when there is none. @throws repository_damaged, storage errors */
export async function readOutcome(
  repository: Repository,
  name: string,
  signal?: AbortSignal,
): Promise<Outcome | undefined> {
  return await readPart({ repository, name, part: 'outcome', schema: outcomeSchema, signal });
}

/**
 * The last step of a sweep. An outcome that took something back stays: a belated decision must find it. One that took
 * nothing back goes, since all that the epoch condemned is gone.
 */
export async function removeEpoch(
  repository: Repository,
  request: { readonly name: string; readonly outcome: Outcome; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { name, outcome, signal } = request;
  await repository.store.delete(epochKey(name, 'condemned'), { signal });
  await repository.store.delete(epochKey(name, 'holders'), { signal });
  if (outcome.taken_back.length === 0) await repository.store.delete(epochKey(name, 'outcome'), { signal });
}

async function readPart<Schema extends z.ZodType>(request: {
  readonly repository: Repository;
  readonly name: string;
  readonly part: EpochPart;
  readonly schema: Schema;
  readonly signal: AbortSignal | undefined;
}): Promise<z.output<Schema> | undefined> {
  const { repository, name, part, schema, signal } = request;
  const key = epochKey(name, part);
  try {
    return decodeDocument(key, await repository.store.get(key, { signal }), schema);
  } catch (error) {
    if (!hasCode(error, 'object_not_found')) throw error;
    return undefined;
  }
}

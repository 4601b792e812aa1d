/** The operations of the care model: each does what a program does, and tells the oracle what its user was told. */
import { HoldfastError, hasCode } from '@holdfast/base';
import { MemoryDisk, MemorySource, MemoryTarget } from '@holdfast/testing';
import { backup } from '../backup/backup.ts';
import { collect } from '../collect/collect.ts';
import { compact } from '../collect/compact.ts';
import { heal } from '../collect/heal.ts';
import { choosePoints, deletePoints, undeletePoints } from '../collect/trash.ts';
import { copyPoints } from '../copy/copy-points.ts';
import { findPoint, listPoints } from '../manifest/points.ts';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { fenceKey, sessionKey } from '../repository/layout.ts';
import { restoreDisk } from '../restore/restore-disk.ts';
import { settledVerdictOf } from '../session/fences.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { verifyRepository } from '../verify/verify-repository.ts';
import { z } from 'zod';
import { BrokenPromise, type Disks, type PointRecord } from './oracle-fixture.ts';
import type { Operation, Role, World } from './world-fixture.ts';

type Work = (world: World, operation: Operation) => Promise<void>;

type Kind = { readonly role: Role; readonly run: Work };

export const kinds = {
  backup: { role: 'writer', run: runBackup },
  delete: { role: 'user', run: runDelete },
  undelete: { role: 'user', run: runUndelete },
  restore: { role: 'user', run: runRestore },
  copy: { role: 'user', run: runCopy },
  collect: { role: 'keeper', run: runCollect },
  fence: { role: 'keeper', run: runFence },
  compact: { role: 'keeper', run: runCompact },
  verify: { role: 'keeper', run: runVerify },
  heal: { role: 'keeper', run: runHeal },
} as const satisfies Record<string, Kind>;

/** What a user may be told when nothing is wrong with the storage. */
const expected: Readonly<Record<keyof typeof kinds, readonly string[]>> = {
  backup: ['resource_busy', 'pack_condemned', 'point_not_found'],
  delete: ['point_not_found'],
  undelete: ['point_not_found'],
  restore: ['point_not_found'],
  copy: ['point_not_found', 'resource_busy'],
  // A keeper holds no session: another one may purge and sweep what it is about to read.
  collect: ['collect_refused'],
  fence: [],
  compact: ['collect_refused'],
  verify: [],
  heal: [],
};

/** Whether no fault and no fence can have been the reason of what the operation says. */
function isUndisturbed(world: World, { process, faultsBefore, sessions }: Operation): boolean {
  if (process.faults > faultsBefore || world.rotten.size > 0) return false;
  const objects = world.store;
  return [...sessions].every((id) => !objects.has(fenceKey(id)));
}

/** @throws BrokenPromise unless the failure is one that may be told */
export function judgeFailure(world: World, operation: Operation, error: unknown): void {
  if (error instanceof BrokenPromise) throw error;
  if (!(error instanceof HoldfastError) || error.code === 'internal') {
    throw new BrokenPromise(`${operation.kind} #${operation.number} failed in a way that no user understands.`, {
      cause: error,
    });
  }
  world.note(`${operation.kind}: ${error.code}`);
  world.say(`   #${operation.number} ${operation.kind} failed: ${error.code}`);
  const codes = expected[operation.kind as keyof typeof kinds];
  if (codes.includes(error.code) || !isUndisturbed(world, operation)) return;
  throw new BrokenPromise(`${operation.kind} #${operation.number} failed although nothing disturbed it.`, {
    cause: error,
  });
}

async function runBackup(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const resource = world.pick([...world.machines.keys()]);
  const disks: Disks = Object.fromEntries(
    Object.entries(world.machines.get(resource)!).map(([name, disk]) => [name, disk.clone()]),
  );
  operation.disks = disks;
  operation.resource = resource;
  try {
    const parent = world.chance(0.7) ? (await listPoints({ repository, resource })).points.at(-1) : undefined;
    operation.about = parent && world.points.get(parent.manifest.id);
    const before = operation.about?.disks;
    const { point } = await backup({
      repository,
      resource,
      parent,
      disks: Object.entries(disks).map(([name, disk]) => ({
        name,
        source: new MemorySource({ disk }),
        changed: before && changesOf(before[name], disk),
      })),
    });
    const record = world.points.get(point.manifest.id);
    if (!record)
      throw new BrokenPromise(`Point ${point.manifest.id} was told to be committed, and its manifest was never put.`);
    record.promise = 'kept';
    world.note('points committed');
    world.say(`   #${operation.number} committed ${point.manifest.id.slice(-6)}`);
  } catch (error) {
    for (const record of operation.points) await noteFailed(world, operation, record);
    throw error;
  }
}

/** The writer was told that there is no point: unless not even the settling went through, that is so for ever. */
async function noteFailed(world: World, operation: Operation, record: PointRecord): Promise<void> {
  const verdict = record.sessionId && (await settledVerdictOf(world.repository, record.sessionId));
  if (verdict && verdict.committed !== record.pointId) {
    record.promise = 'never';
    world.note('points void');
  } else if (operation.process.faults === operation.faultsBefore) {
    throw new BrokenPromise(`Backup #${operation.number} failed and left its point ${record.pointId} undecided.`);
  }
}

function changesOf(before: MemoryDisk | undefined, now: MemoryDisk) {
  if (before?.sizeBytes !== now.sizeBytes) return undefined;
  return before.differsFrom(now) === undefined ? [] : [{ offset: 0, length: now.sizeBytes }];
}

/** Users mostly know what they want, and sometimes are wrong. */
function anyPoint(world: World, isWanted: (record: PointRecord) => boolean): PointRecord | undefined {
  const known = [...world.points.values()].filter(({ promise }) => promise !== 'never');
  const wanted = known.filter(isWanted);
  if (wanted.length > 0 && world.chance(0.85)) return world.pick(wanted);
  return known.length === 0 ? undefined : world.pick(known);
}

async function runDelete(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const record = operation.about ?? anyPoint(world, ({ mustBeAvailable }) => mustBeAvailable);
  if (!record) return;
  const trashDays = world.busy.flatMap(({ operation: other }) => other?.trashDays ?? []);
  const { process } = operation;
  record.beginDelete({
    inFlight: { isSettled: () => (operation.isDone || process.killed) && process.landings === 0 },
    nowMs: world.clock.nowMs(),
    trashDays,
  });
  world.say(`   #${operation.number} of ${record.pointId.slice(-6)}`);
  const points = await choosePoints({ repository, words: [record.pointId], state: 'available' });
  await deletePoints({ repository, points });
}

async function runUndelete(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const record = anyPoint(world, (point) => point.mustCount(world.clock.nowMs()) && !point.mustBeAvailable);
  if (!record) return;
  world.say(`   #${operation.number} of ${record.pointId.slice(-6)}`);
  const { deletesBegun, hasDeletesInFlight } = record;
  const points = await choosePoints({ repository, words: [record.pointId], state: 'trashed' });
  await undeletePoints({ repository, points });
  if (record.promise === 'never') {
    throw new BrokenPromise(`Point ${record.pointId}, which failed, was undeleted.`);
  }
  world.note('points undeleted');
  if (!hasDeletesInFlight && deletesBegun === record.deletesBegun) record.bringBack();
}

async function runRestore(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const record = anyPoint(world, ({ mustBeAvailable }) => mustBeAvailable);
  if (!record) return;
  world.say(`   #${operation.number} of ${record.pointId.slice(-6)}`);
  operation.about = record;
  const name = world.pick(Object.keys(record.disks));
  const due = record.disks[name]!;
  const wasAvailable = record.watchAvailability();
  try {
    const point = await findPoint({ repository, point: record.pointId });
    // A target that holds something is compared with first.
    const disk = world.chance(0.5) ? new MemoryDisk(due.sizeBytes) : due.clone();
    const fresh = world.chance(0.5) && disk.differsFrom(new MemoryDisk(due.sizeBytes)) === undefined;
    await restoreDisk({ repository, point, disk: name, target: new MemoryTarget({ disk, fresh }) });
    if (due.differsFrom(disk) !== undefined) {
      throw new BrokenPromise(`Point ${record.pointId} ${name} was restored with wrong bytes.`);
    }
  } catch (error) {
    if (wasAvailable() && isUndisturbed(world, operation)) {
      throw new BrokenPromise(`Point ${record.pointId} ${name} could not be restored.`, { cause: error });
    }
    throw error;
  }
}

async function runCopy(world: World, operation: Operation): Promise<void> {
  const { repository: source, target } = operation.actor;
  const resource = world.pick([...world.machines.keys()]);
  const { failed } = await copyPoints({ source, target, resource });
  for (const { error } of failed) if (!isUndisturbed(world, operation)) throw error;
  world.say(`   #${operation.number} copied ${resource}, ${failed.length} failed`);
}

async function runCollect(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const trashDays = world.pick([0, 0, 0, 1, 3]);
  operation.trashDays = trashDays;
  for (const record of world.points.values()) record.beginCollect(trashDays);
  const { condemned, deleted, takenBack, purgedPoints, fencedSessions } = await collect({
    repository,
    trashDays,
    waitMs: world.pick([0, 5000, 60_000]),
    fenceOlderThanMs: world.pick([undefined, undefined, undefined, 3_600_000, 60_000, -1]),
    maxPacks: world.pick([undefined, undefined, 3]),
    sleep: world.clock.sleep,
  });
  world.note('packs condemned', condemned.packs);
  world.note('packs deleted', deleted.packs);
  world.note('packs taken back', takenBack);
  world.note('points purged', purgedPoints.length);
  world.note('sessions fenced', fencedSessions.length);
  const sums = [condemned.packs, deleted.packs, takenBack, purgedPoints.length].join(' ');
  world.say(`   #${operation.number} collect: condemned, deleted, taken back, purged ${sums}`);
}

async function runFence(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const sessions = await listSessions(repository);
  if (sessions.length > 0) await fenceSession(repository, world.pick(sessions).id);
}

async function runCompact(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const { packs } = await compact({
    repository,
    thresholdPercent: world.pick([50, 100]),
    maxBytes: world.pick([undefined, undefined, 8000]),
  });
  world.note('packs compacted', packs.count);
  world.say(`   #${operation.number} compacted ${packs.count} packs`);
}

async function runVerify(world: World, operation: Operation): Promise<void> {
  const { repository } = operation.actor;
  const { points } = await verifyRepository({ repository, scope: world.pick(['presence', 'scrub']) });
  for (const { pointId, ok, problems } of points) {
    const record = world.points.get(pointId);
    if (ok || !record?.mustBeAvailable || !isUndisturbed(world, operation)) continue;
    throw new BrokenPromise(`Verify finds fault with ${pointId}: ${problems.join(' ')}`);
  }
}

async function runHeal(world: World, operation: Operation): Promise<void> {
  const { lostChunks, healedChunks } = await heal({ repository: operation.actor.repository });
  world.note('lost chunks seen', lostChunks);
  world.note('lost chunks healed', healedChunks);
  world.say(`   #${operation.number} healed ${healedChunks} of ${lostChunks}`);
}

/** The process dies. Where it ran, everybody can see that half of the time; other hosts cannot tell. */
export async function kill(world: World, operation: Operation): Promise<void> {
  const { actor, process } = operation;
  process.kill();
  world.say(`   #${operation.number} ${operation.kind} of ${actor.name} is killed`);
  const isKnown = world.chance(0.5);
  for (const id of operation.sessions) {
    const key = sessionKey(id);
    if (!isKnown || !world.store.has(key)) continue;
    const shape = z.looseObject({ process: z.looseObject({}) });
    const session = decodeDocument(key, await world.store.get(key), shape);
    const dead = { ...session, process: { ...session.process, started_ticks: '1' } };
    await world.store.put(key, { buffers: [encodeDocument(dead)] });
  }
  world.replace(actor);
}

/** Turns a byte of a pack. */
export async function rot(world: World): Promise<void> {
  // Damage to a pack table keeps collections from all that follows, so it is the exception.
  const folder = world.chance(0.85) ? '/data/' : '/meta/';
  const packs = [...world.store.objects().keys()].filter((key) => key.includes(folder));
  if (packs.length === 0) return;
  const key = world.pick(packs);
  const bytes = await world.store.get(key);
  bytes[world.below(bytes.length)]! ^= 1 << world.below(8);
  await world.store.put(key, { buffers: [bytes] });
  world.rotten.add(key);
  world.say(`      rot in ${key}`);
}

export function isLoss(error: unknown): boolean {
  return hasCode(error, 'chunk_corrupt', 'repository_damaged');
}

/** For the tests of this folder: publishing what a test wants in one line, and damaging it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { BlobStore } from '@holdfast/storage';
import { type FakeClock, fakeClock, type MemoryStore } from '@holdfast/testing';
import type { ChunkLocation } from './chunk-location.ts';
import type { IndexDamage } from './damage.ts';
import { SessionIndex } from './session-index.ts';

export const prefix = 'd/tenant/idx/';

/** A chunk id, 32 bytes, always the same for the same name. */
export function idOf(name: string | number): Buffer {
  return createHash('sha256').update(`chunk ${name}`).digest();
}

export function packIdOf(name: string | number): string {
  return createHash('sha256').update(`pack ${name}`).digest('hex');
}

/** Where the chunk `name` lies when it was put into the pack `pack`. */
export function locationOf(name: number, pack: string | number): ChunkLocation {
  return {
    packId: packIdOf(pack),
    slot: name % 60_000,
    offset: (name * 4099) % 2 ** 32,
    storedBytes: (name % 9000) + 1,
  };
}

/** One session that appends these chunks to one pack and publishes them. */
export async function publishChunks(request: {
  readonly store: BlobStore;
  readonly names: Iterable<number>;
  readonly pack: string | number;
  readonly clock?: FakeClock;
  readonly mergeBudgetEntries?: number;
  readonly excludedPacks?: ReadonlySet<string>;
}): Promise<void> {
  const { store, names, pack, clock = fakeClock(), mergeBudgetEntries, excludedPacks } = request;
  const session = new SessionIndex({ store, prefix, spillPrefix: `sess-index/${packIdOf(pack)}/`, clock });
  for (const name of names) {
    const { slot, offset, storedBytes } = locationOf(name, pack);
    session.add({ id: idOf(name), packOrdinal: 0, slot, offset, storedBytes });
  }
  session.sealPack(0, packIdOf(pack));
  await session.publish({
    ...(mergeBudgetEntries !== undefined && { mergeBudgetEntries }),
    ...(excludedPacks !== undefined && { excludedPacks }),
  });
  await clock.advance(1);
}

/** The keys of the runs that are there. */
export function runKeys(store: MemoryStore): readonly string[] {
  return [...store.objects().keys()].filter((key) => key.startsWith(prefix));
}

/** For `onDamage` of tests in which nothing is damaged. */
export function noDamage(damage: IndexDamage): void {
  assert.fail(`${damage.key}: ${damage.detail}`);
}

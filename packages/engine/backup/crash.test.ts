/**
 * A process that dies at any storage call of a backup: every point that was committed before still restores, what is listed
 * is whole, and the next backup works once the dead writer is fenced.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Fault, faultyStore, MemoryDisk, type MemoryStore, noise, SimulatedCrash } from '@holdfast/testing';
import type { RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';
import {
  assertRestores,
  assertVerifies,
  backupOf,
  newRepository,
  smallChunkBytes,
  through,
} from '../repository-fixture.ts';
import { fenceSession, listSessions } from '../session/session.ts';

const chunk = smallChunkBytes;

/** Small packs, so that uploads run beside reading and several are in flight when the process dies. */
const packBytes = 3 * chunk;

type Story = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  /** Committed before the backup that dies. */
  readonly kept: readonly { readonly point: RestorePoint; readonly disk: MemoryDisk }[];
  readonly disk: MemoryDisk;
  readonly backup: (repository: Repository) => ReturnType<typeof backupOf>;
};

async function fullStory(): Promise<Story> {
  const { store, repository } = await newRepository({ packBytes });
  const disk = new MemoryDisk(9 * chunk + 100);
  disk.write(noise({ seed: 1, length: 7 * chunk }), chunk);
  return { store, repository, kept: [], disk, backup: (repo) => backupOf(repo, { vda: disk }) };
}

async function incrementStory(): Promise<Story> {
  const { store, repository, disk, backup } = await fullStory();
  const first = { point: (await backup(repository)).point, disk: disk.clone() };
  disk.write(noise({ seed: 2, length: 2 * chunk }), 2 * chunk);
  disk.zero({ offset: 5 * chunk, length: chunk });
  const second = { point: (await backup(repository)).point, disk: disk.clone() };
  disk.write(noise({ seed: 3, length: 3 * chunk }), chunk);
  const changed = { vda: [{ offset: chunk, length: 3 * chunk }] };
  return {
    store,
    repository,
    kept: [first, second],
    disk,
    backup: (repo) => backupOf(repo, { vda: disk }, { parent: second.point, changed }),
  };
}

for (const [what, story] of Object.entries({ 'a full backup': fullStory, 'an increment': incrementStory })) {
  for (const when of ['before', 'partial', 'after'] as const) {
    const where = { before: 'before its effect', partial: 'in its middle', after: 'with its acknowledgement lost' }[
      when
    ];
    test(`${what} that dies at any storage call, ${where}`, async () => {
      const { store: start, repository, kept, disk, backup } = await story();
      for (let call = 1; ; call += 1) {
        const store = start.clone();
        const script = (request: { readonly call: number }): Fault | undefined =>
          request.call === call ? { kind: 'crash', when } : undefined;
        const dying = faultyStore({ store, script });
        const ended = await backup(through(repository, dying)).then(
          () => undefined,
          (error: unknown) => error,
        );
        const survivor = through(repository, store);
        await assertSurvives({ survivor, kept, disk, context: `call ${call}` });
        if (!dying.crashed) {
          assert.equal(ended, undefined);
          assert.ok(call > 8, `only ${call} calls`);
          break;
        }
        // The index and the session's end come after the commit: a backup may be done by then.
        if (ended !== undefined) assert.ok(ended instanceof SimulatedCrash);
        for (const { id } of await listSessions(survivor)) await fenceSession(survivor, id);
        const next = await backup(survivor);
        await assertRestores(survivor, next.point, { vda: disk });
        assert.deepEqual(await listSessions(survivor), []);
        await assertSurvives({ survivor, kept, disk, context: `after call ${call}` });
      }
    });
  }
}

/** What was committed is as it was; whatever else is listed is a whole point of the disk. */
async function assertSurvives(request: {
  readonly survivor: Repository;
  readonly kept: Story['kept'];
  readonly disk: MemoryDisk;
  readonly context: string;
}): Promise<void> {
  const { survivor, kept, disk, context } = request;
  const points = await assertVerifies(survivor);
  for (const { point, disk: before } of kept) {
    const listed = points.find(({ key }) => key === point.key);
    assert.ok(listed, `${context}: ${point.key} is gone`);
    await assertRestores(survivor, listed, { vda: before });
  }
  for (const point of points.filter(({ key }) => !kept.some((other) => other.point.key === key))) {
    await assertRestores(survivor, point, { vda: disk });
  }
}

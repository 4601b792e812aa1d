/** A copy that dies, or whose target fails, at any storage call: the target holds whole copies only, and the next run goes on. */
import assert from 'node:assert/strict';
import { hasCode } from '@holdfast/base';
import { crashAt, type FaultScript, faultyStore, SimulatedCrash } from '@holdfast/testing';
import { assertRestores, assertVerifies, newRepository, smallChunkBytes, through } from '../repository-fixture.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { assertCopied, copyOf, makePatched, makeVolume } from './copy-fixture.ts';
import { assertAllCopied, copyPoints } from './copy-points.ts';

export type CrashStory = {
  /** Points of a volume (a full, a change, a growth over a page) and of one with patched chunks. */
  readonly volumePoints: number;
  readonly patchedPoints: number;
};

/** Small packs, so that uploads run beside reading. */
async function prepare({ volumePoints, patchedPoints }: CrashStory) {
  const { store: sourceStore, repository: source } = await newRepository({ encrypted: true });
  const volume = (await makeVolume(source)).slice(0, volumePoints);
  const originals = [...volume, ...(await makePatched(source)).slice(0, patchedPoints)];
  const { store, repository: target } = await newRepository({ packBytes: 2 * smallChunkBytes });
  const points = originals.map(({ point }) => point.manifest.id);
  return { sourceStore, source, originals, store, target, points };
}

/** Dies at each call of the target in turn. */
export async function assertSurvivesCrashes(story: CrashStory, when: 'before' | 'partial' | 'after'): Promise<void> {
  const { source, originals, store: start, target, points } = await prepare(story);
  let goneOn = 0;
  for (let call = 1; ; call += 1) {
    const store = start.clone();
    const dying = faultyStore({ store, script: crashAt(call, when) });
    const ended = await copyPoints({ source, target: through(target, dying), points })
      .then(assertAllCopied)
      .catch((error: unknown) => error);
    const survivor = through(target, store);
    const listed = await assertVerifies(survivor);
    for (const { point, disks } of originals) {
      const copy = copyOf(survivor, source, { points: listed, point });
      if (copy) await assertRestores(survivor, copy, disks);
    }
    if (!dying.crashed) {
      assert.equal(ended, undefined);
      assert.ok(call > 30, `only ${call} calls`);
      break;
    }
    if (ended !== undefined) assert.ok(ended instanceof SimulatedCrash);
    for (const { id } of await listSessions(survivor)) await fenceSession(survivor, id);
    const report = await copyPoints({ source, target: survivor, points });
    assertAllCopied(report);
    const kept = report.copies.filter(({ isNew }) => !isNew).length;
    assert.equal(kept, listed.length, 'what was copied is not copied again');
    if (kept > 0 && kept < points.length) goneOn += 1;
    await assertCopied(survivor, source, originals);
    assert.deepEqual(await listSessions(survivor), []);
  }
  assert.ok(goneOn > 10, `only ${goneOn} runs went on in the middle`);
  assert.deepEqual(await listSessions(source), []);
}

/** Each call of one side fails in turn: the copy ends with that error. */
export async function assertSurvivesFailures(story: CrashStory, side: 'source' | 'target'): Promise<void> {
  const made = await prepare(story);
  const { originals, points } = made;
  for (let call = 1; ; call += 1) {
    const stores = { source: made.sourceStore.clone(), target: made.store.clone() };
    const script: FaultScript = (request) =>
      request.call === call ? { kind: 'fail', code: 'storage_unreachable' } : undefined;
    const failing = faultyStore({ store: stores[side], script });
    const used = { ...stores, [side]: failing };
    const error: unknown = await copyPoints({
      source: through(made.source, used.source),
      target: through(made.target, used.target),
      points,
    })
      .then(assertAllCopied)
      .catch((reason: unknown) => reason);
    if (error !== undefined) {
      // Ending a session never fails: its object stays, and keeps this process's next point of the resource away.
      const isBusy = failing.calls[call - 1]?.verb === 'delete' && hasCode(error, 'copy_incomplete');
      assert.ok(isBusy || hasCode(error, 'storage_unreachable'));
    }
    const [source, target] = [through(made.source, stores.source), through(made.target, stores.target)];
    for (const { point, disks } of originals) {
      const copy = copyOf(target, source, { points: await assertVerifies(target), point });
      if (copy) await assertRestores(target, copy, disks);
    }
    if (failing.calls.length < call) break;
  }
}

/** A keeper that dies, is refused, or is stopped anywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withRetry } from '@holdfast/storage';
import { faultyStore, randomFaults } from '@holdfast/testing';
import { through } from '../repository-fixture.ts';
import { fenceSession, listSessions, openReaderSession } from '../session/session.ts';
import { fenceAll, purging, testCollectCrashes } from './collect-crash-fixture.ts';
import { assertKept, assertTidy, collectNow } from './collect-fixture.ts';

testCollectCrashes({ every: 'call' });

test('behind the retries, lost calls and lost answers do not disturb a collection', async () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const { store: memory, repository, kept } = await purging();
    const faulty = faultyStore({ store: memory, script: randomFaults({ seed, rate: 0.1 }) });
    const store = withRetry({ store: faulty, sleep: async () => {} });
    const report = await collectNow(through(repository, store), fenceAll);
    assert.deepEqual(report.openEpochs, []);
    await assertKept(repository, kept);
    await assertTidy(repository, memory);
  }
});

test('a run that is stopped stops, and the next one carries on', async () => {
  const { store, repository, kept } = await purging();
  for (const { id } of await listSessions(repository)) await fenceSession(repository, id);
  const reader = await openReaderSession({ repository, point: kept[0]!.point });
  const stop = new AbortController();
  const reason = new Error('stop');
  const run = collectNow(repository, {
    waitMs: 1e9,
    signal: stop.signal,
    sleep: async ({ signal }) => {
      stop.abort(reason);
      signal?.throwIfAborted();
    },
  });
  await assert.rejects(run, reason);
  await reader[Symbol.asyncDispose]();
  assert.ok((await collectNow(repository)).deleted.packs > 0);
  await assertKept(repository, kept);
  await assertTidy(repository, store);
});

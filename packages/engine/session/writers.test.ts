/** Who may write a resource: one at a time, whoever came first; the dead do not block the living. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { faultyStore, MemoryDisk, noise } from '@holdfast/testing';
import { listPoints } from '../manifest/points.ts';
import { assertRestores, backupOf, newRepository, smallChunkBytes } from '../repository-fixture.ts';
import { encodeDocument } from '../repository/document.ts';
import { fenceKey, sessionKey } from '../repository/layout.ts';
import { ownProcessIdentity } from './process-identity.ts';
import { fenceSession, listSessions, openSession } from './session.ts';

const isBusy = (error: unknown) => hasCode(error, 'resource_busy');

test('of two backups of one resource that start at the same moment exactly one proceeds, twenty times', async () => {
  const rounds = Array.from({ length: 20 }, async (_, round) => {
    const { repository } = await newRepository();
    const disk = new MemoryDisk(3 * smallChunkBytes);
    disk.write(noise({ seed: round + 1, length: 1000 }), 0);
    const outcomes = await Promise.allSettled([
      backupOf(repository, { vda: disk }),
      backupOf(repository, { vda: disk }),
      ...(round % 4 === 0 ? [backupOf(repository, { vda: disk })] : []),
    ]);
    const done = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    assert.equal(done.length, 1);
    assert.ok(refused.every(isBusy), String(refused));
    assert.equal((await listPoints({ repository })).points.length, 1);
    assert.deepEqual(await listSessions(repository), []);
    await assertRestores(repository, done[0]!.value.point, { vda: disk });
  });
  await Promise.all(rounds);
});

test('a second writer is refused while the first works and may begin once it has ended', async () => {
  const { repository } = await newRepository();
  const first = await openSession({ repository, role: 'writer', resource: 'volumes/a' });
  await assert.rejects(openSession({ repository, role: 'writer', resource: 'volumes/a' }), (error) => {
    assert.ok(isBusy(error) && hasCode(error, 'resource_busy'));
    assert.equal(error.facts['session'], first.id);
    return true;
  });
  assert.deepEqual(
    (await listSessions(repository)).map(({ id }) => id),
    [first.id],
  );
  await using _other = await openSession({ repository, role: 'writer', resource: 'volumes/b' });
  await using _reader = await openSession({ repository, role: 'reader', resource: 'volumes/a' });
  await first[Symbol.asyncDispose]();
  await using _second = await openSession({ repository, role: 'writer', resource: 'volumes/a' });
});

/** A session whose process is not this one, as another process would have left it. */
async function leaveSession(
  repository: Awaited<ReturnType<typeof newRepository>>['repository'],
  process: Partial<ReturnType<typeof ownProcessIdentity>>,
): Promise<string> {
  const id = 'ses_00000000000000000000000000000001';
  const record = {
    version: 1,
    id,
    role: 'writer',
    resource: 'volumes/a',
    point: null,
    nonce: '00'.repeat(16),
    started_at: new Date().toISOString(),
    process: { ...ownProcessIdentity(), ...process },
  };
  await repository.store.put(sessionKey(id), { buffers: [encodeDocument(record)] });
  return id;
}

for (const [what, process] of Object.entries({
  'whose pid another process has by now': { started_ticks: '1' },
  'of before the last boot': { boot: '00000000-0000-0000-0000-000000000000' },
})) {
  test(`the session of a dead process, ${what}, is fenced by the next writer`, async () => {
    const { repository } = await newRepository();
    const dead = await leaveSession(repository, process);
    await using session = await openSession({ repository, role: 'writer', resource: 'volumes/a' });
    assert.deepEqual(
      (await listSessions(repository)).map(({ id }) => id),
      [session.id],
    );
    assert.ok(await repository.store.head(fenceKey(dead)));
  });
}

test('a session of another host blocks until somebody fences it', async () => {
  const { repository } = await newRepository();
  const foreign = await leaveSession(repository, { host: 'elsewhere' });
  await assert.rejects(openSession({ repository, role: 'writer', resource: 'volumes/a' }), isBusy);
  await fenceSession(repository, foreign);
  await fenceSession(repository, foreign);
  await using _session = await openSession({ repository, role: 'writer', resource: 'volumes/a' });
});

test('a reader works where the storage may not be written', async () => {
  const { store, repository } = await newRepository();
  const readOnly = faultyStore({
    store,
    script: ({ verb }) => (verb === 'put' ? { kind: 'fail', code: 'storage_denied' } : undefined),
  });
  await using _session = await openSession({ repository: { ...repository, store: readOnly }, role: 'reader' });
  assert.deepEqual(await listSessions(repository), []);
});

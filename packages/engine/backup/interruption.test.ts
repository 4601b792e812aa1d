/** A backup that is stopped from outside - by its user, by collection, by its source - leaves nothing listed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { faultyStore, MemoryDisk, MemorySource, MemoryTarget, noise, seededRandom } from '@holdfast/testing';
import { listPoints, type RestorePoint } from '../manifest/points.ts';
import { packIdOf } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import {
  assertRestores,
  assertVerifies,
  backupOf,
  condemn,
  condemnedKey,
  newRepository,
  packsOf,
  smallChunkBytes,
  through,
} from '../repository-fixture.ts';
import { restoreDisk } from '../restore/restore-disk.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { type BackupOptions, backup } from './backup.ts';

const chunk = smallChunkBytes;

function diskOfNoise(chunks: number, seed = 1): MemoryDisk {
  const disk = new MemoryDisk(chunks * chunk);
  disk.write(noise({ seed, length: chunks * chunk }), 0);
  return disk;
}

/** A backup whose source does something at a given read. */
function backupWith(
  repository: Repository,
  options: {
    readonly disk: MemoryDisk;
    readonly onRead: (request: { readonly read: number }) => Promise<void> | void;
  } & Partial<BackupOptions>,
) {
  const { disk, onRead, ...rest } = options;
  const source = new MemorySource({ disk, onRead });
  return backup({ resource: 'volumes/a', ...rest, repository, disks: [{ name: 'vda', source }] });
}

async function assertNothingNew(repository: Repository, points: readonly RestorePoint[] = []): Promise<void> {
  const listed = await listPoints({ repository });
  assert.deepEqual(
    listed.points.map(({ key }) => key),
    points.map(({ key }) => key),
  );
  assert.deepEqual(await listSessions(repository), []);
}

test('an abort at any moment rejects with its reason and lists nothing, or comes after the commit; the next backup works', async () => {
  let aborted = 0;
  for (let seed = 0; seed < 40; seed += 1) {
    const { store, repository } = await newRepository({ packBytes: 3 * chunk });
    const disk = diskOfNoise(12);
    const stop = new AbortController();
    const reason = new Error('stop');
    const at = Math.ceil(seededRandom(seed)() * 40);
    // Slow calls let the abort come while others are in flight.
    const slow = faultyStore({
      store,
      script: ({ call }) => {
        if (call === at) stop.abort(reason);
        return call % 3 === 0 ? { kind: 'slow', ms: 1 } : undefined;
      },
    });
    const { signal } = stop;
    const outcome = await backupOf(through(repository, slow), { vda: disk }, { signal }).catch((error: unknown) => {
      assert.equal(error, reason);
      return undefined;
    });
    if (outcome) await assertRestores(repository, outcome.point, { vda: disk });
    else {
      aborted += 1;
      await assertNothingNew(repository);
    }
    const next = await backupOf(repository, { vda: disk });
    await assertRestores(repository, next.point, { vda: disk });
  }
  assert.ok(aborted > 10, `${aborted} were aborted before their commit`);
});

test('an abort at any read of the source', async () => {
  for (const at of [1, 2, 5, 12]) {
    const { repository } = await newRepository();
    const stop = new AbortController();
    const reason = new Error('stop');
    const onRead = ({ read }: { readonly read: number }) => {
      if (read === at) stop.abort(reason);
    };
    await assert.rejects(backupWith(repository, { disk: diskOfNoise(12), onRead, signal: stop.signal }), reason);
    await assertNothingNew(repository);
  }
});

test('an abort of a restore rejects with its reason', async () => {
  const { repository } = await newRepository();
  const disk = diskOfNoise(12);
  const { point } = await backupOf(repository, { vda: disk });
  const stop = new AbortController();
  const reason = new Error('stop');
  const store = faultyStore({
    store: repository.store,
    script: ({ call }) => {
      if (call === 4) stop.abort(reason);
      return undefined;
    },
  });
  const target = new MemoryTarget({ disk: new MemoryDisk(disk.sizeBytes), fresh: true });
  await assert.rejects(
    restoreDisk({ repository: through(repository, store), point, target, signal: stop.signal }),
    reason,
  );
  assert.deepEqual(await listSessions(repository), []);
});

for (const code of ['source_changed', 'source_unreadable', 'nbd_failed'] as const) {
  test(`a source that fails with ${code} at any read fails the backup with it`, async () => {
    const { repository } = await newRepository({ packBytes: 2 * chunk });
    const disk = diskOfNoise(6);
    const { point } = await backupOf(repository, { vda: disk });
    for (let at = 1; at <= 6; at += 1) {
      const onRead = ({ read }: { readonly read: number }) => {
        if (read === at) throw new HoldfastError(code, 'The source ended early.');
      };
      await assert.rejects(backupWith(repository, { disk: diskOfNoise(6, 2), onRead }), (error) =>
        hasCode(error, code),
      );
      await assertNothingNew(repository, [point]);
    }
  });
}

test('a source that turns out not to be trusted after it was read fails the backup', async () => {
  const { repository } = await newRepository();
  const confirm = async () => {
    throw new HoldfastError('bitmap_inconsistent', 'It went away.');
  };
  const disks = [{ name: 'vda', source: new MemorySource({ disk: diskOfNoise(2) }), confirm }];
  await assert.rejects(backup({ repository, resource: 'volumes/a', disks }), (error) =>
    hasCode(error, 'bitmap_inconsistent'),
  );
  await assertNothingNew(repository);
});

test('a session that was fenced while it ran does not commit', async () => {
  const { repository } = await newRepository();
  const onRead = async ({ read }: { readonly read: number }) => {
    if (read !== 3) return;
    for (const { id } of await listSessions(repository)) await fenceSession(repository, id);
  };
  await assert.rejects(backupWith(repository, { disk: diskOfNoise(6), onRead }), (error) =>
    hasCode(error, 'session_fenced'),
  );
  await assertNothingNew(repository);
});

test('content in condemned packs is uploaded again', async () => {
  const { repository } = await newRepository();
  const disk = diskOfNoise(4);
  const { point } = await backupOf(repository, { vda: disk });
  const condemned = await packsOf(repository, point);
  await condemn(repository, condemned);
  const again = await backupOf(repository, { vda: disk }, { resource: 'volumes/b' });
  assert.equal(again.point.manifest.disks[0]!.counters.new_chunks, 4);
  assert.deepEqual(
    (await packsOf(repository, again.point)).filter((pack) => condemned.includes(pack)),
    [],
  );
});

for (const [what, changed] of Object.entries({ 'a full backup': undefined, 'an increment': [] })) {
  test(`packs that are condemned while ${what} builds on them make it run again in full, in its series`, async () => {
    const { repository } = await newRepository();
    const disk = diskOfNoise(4);
    const { point } = await backupOf(repository, { vda: disk });
    const condemned = await packsOf(repository, point);
    let asked = 0;
    const source = new MemorySource({
      disk,
      onRead: async () => {
        asked += 1;
        if (asked === 2) await condemn(repository, condemned);
      },
    });
    const disks = [{ name: 'vda', source, changed }];
    const again = await backup({ repository, resource: 'volumes/a', parent: point, disks });
    await assertRestores(repository, again.point, { vda: disk });
    const { manifest } = again.point;
    assert.equal(manifest.series, point.manifest.series);
    assert.equal(manifest.increment_id, 2);
    assert.equal(manifest.parent, point.manifest.id);
    assert.equal(manifest.actual, 'full');
    assert.equal(manifest.disks[0]!.fallback_reason, 'pack_condemned');
    assert.equal(again.warnings.length, 1);
    assert.deepEqual(
      (await packsOf(repository, again.point)).filter((pack) => condemned.includes(pack)),
      [],
    );
  });
}

test('a backup whose packs are condemned a second time refuses to commit', async () => {
  const { repository } = await newRepository();
  const { store } = repository;
  const condemned: string[] = [];
  // A collection that is quicker than any backup: it condemns whatever is put.
  const eager: BlobStore = {
    capabilities: store.capabilities,
    put: async (key, body, options) => {
      await store.put(key, body, options);
      if (!key.includes('/data/')) return;
      condemned.push(packIdOf(key));
      await condemn(repository, condemned);
    },
    get: (key, options) => store.get(key, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: (key, options) => store.delete(key, options),
    head: (key, options) => store.head(key, options),
    [Symbol.asyncDispose]: async () => {},
  };
  let reads = 0;
  const onRead = () => {
    reads += 1;
  };
  await assert.rejects(backupWith(through(repository, eager), { disk: diskOfNoise(4), onRead }), (error) =>
    hasCode(error, 'pack_condemned'),
  );
  assert.equal(reads, 8, 'read twice');
  await assertNothingNew(repository);
});

test('an unreadable announcement of collection stops a backup', async () => {
  const { repository } = await newRepository();
  await repository.store.put(condemnedKey, { buffers: [Buffer.from('torn')] });
  await assert.rejects(backupOf(repository, { vda: diskOfNoise(1) }), (error) => hasCode(error, 'repository_damaged'));
  await repository.store.delete(condemnedKey);
  await backupOf(repository, { vda: diskOfNoise(1) });
  await assertVerifies(repository);
});

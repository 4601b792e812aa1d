import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { MemoryDisk, MemorySource, MemoryStore, MemoryTarget } from '@holdfast/testing';
import { backup } from '../backup/backup.ts';
import { initRepository, openRepository } from '../repository/repository.ts';
import { openPointDisk } from '../serve/point-disk.ts';
import { listSessions } from '../session/session.ts';
import { restoreDisk } from './restore-disk.ts';

test('a point that went after it was found is refused before anything is read, and no session stays', async () => {
  const store = new MemoryStore();
  await initRepository({ store });
  const repository = await openRepository({ store });
  const disk = new MemoryDisk(1000);
  const disks = [{ name: 'vda', source: new MemorySource({ disk }) }];
  const { point } = await backup({ repository, resource: 'volumes/web', disks });
  await store.delete(point.key);
  const gone = (error: unknown) => hasCode(error, 'point_not_found');
  const target = new MemoryTarget({ disk: new MemoryDisk(1000), fresh: true });
  await assert.rejects(restoreDisk({ repository, point, target }), gone);
  await assert.rejects(openPointDisk({ repository, point }), gone);
  assert.deepEqual(await listSessions(repository), []);
});

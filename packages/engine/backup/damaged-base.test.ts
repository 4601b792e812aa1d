import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KiB } from '@holdfast/base';
import { applyChange, MemoryDisk, MemorySource, MemoryStore, MemoryTarget } from '@holdfast/testing';
import { initRepository, openRepository } from '../repository/repository.ts';
import { restoreDisk } from '../restore/restore-disk.ts';
import { backup } from './backup.ts';

for (const kind of ['increment', 'full'] as const) {
  test(`a damaged map of the earlier point closes its series and does not stop the next ${kind}`, async () => {
    const store = new MemoryStore();
    await initRepository({ store, chunkBytes: 64 * KiB });
    const repository = await openRepository({ store });
    const disk = new MemoryDisk(10 * 64 * KiB);
    applyChange(disk, { kind: 'noise', offset: 0, length: disk.sizeBytes, seed: 1 });
    const resource = 'volumes/web';
    const { point: parent } = await backup({
      repository,
      resource,
      disks: [{ name: 'vda', source: new MemorySource({ disk }) }],
    });
    for await (const { key } of store.list('d/default/meta/')) {
      const bytes = Buffer.from(await store.get(key));
      bytes.fill(0, 40, 60);
      await store.put(key, { buffers: [bytes] });
    }
    const { point, warnings } = await backup({
      repository,
      resource,
      ...(kind === 'increment' && { parent }),
      disks: [{ name: 'vda', source: new MemorySource({ disk }), changed: [] }],
    });
    assert.match(warnings.join(), new RegExp(`${parent.manifest.id} is damaged`));
    assert.notEqual(point.manifest.series, parent.manifest.series);
    assert.equal(point.manifest.increment_id, 1);
    assert.equal(point.manifest.actual, 'full');
    assert.equal(point.manifest.disks[0]!.counters.deduplicated_chunks, 10, 'content is still deduplicated');
    const restored = new MemoryDisk(disk.sizeBytes);
    await restoreDisk({ repository, point, target: new MemoryTarget({ disk: restored, fresh: true }) });
    assert.equal(restored.sha256(), disk.sha256());
  });
}

/** Repositories of every released format version, kept in the checkout, open and restore for ever. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { cp, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { LocalStore } from '@holdfast/storage';
import { temporaryDirectory } from '@holdfast/testing';
import { z } from 'zod';
import { listPoints } from '../manifest/points.ts';
import { decodeMapRoot, encodeMapRoot } from '../map/map-root.ts';
import { decodeTablePage, encodeTablePage } from '../map/pack-table.ts';
import { decodeReferences, encodeReferences } from '../map/reference-list.ts';
import { readFrame } from '../pack/frame-reader.ts';
import { assertRestores, assertVerifies, backupOf, restored, tableUses, countedUses } from '../repository-fixture.ts';
import { checkRepository } from '../verify/check-repository.ts';
import { openRepository } from './repository.ts';

const root = resolve(import.meta.dirname, '../../../fixtures/format');

const recordSchema = z.strictObject({
  passphrase: z.string().nullable(),
  points: z.array(
    z.strictObject({
      id: z.string(),
      resource: z.string(),
      increment_id: z.int().nullable(),
      disks: z.array(z.strictObject({ name: z.string(), size_bytes: z.int(), sha256: z.string() })),
    }),
  ),
});

for (const version of readdirSync(root).toSorted()) {
  for (const name of ['plain', 'encrypted']) {
    const open = async () => {
      const record = recordSchema.parse(JSON.parse(await readFile(join(root, version, `${name}.json`), 'utf8')));
      const directory = await temporaryDirectory();
      const path = join(directory.path, 'repository');
      await cp(join(root, version, name), path, { recursive: true });
      const store = await LocalStore.open({ directory: path });
      const passphrase = record.passphrase ?? undefined;
      const repository = await openRepository({ store, passphrase });
      const close = async () => {
        await store[Symbol.asyncDispose]();
        await directory[Symbol.asyncDispose]();
      };
      return { record, repository, [Symbol.asyncDispose]: close };
    };

    test(`format ${version}, ${name}: every point is listed, verifies and restores what was recorded`, async () => {
      await using golden = await open();
      const { record, repository } = golden;
      const points = await assertVerifies(repository);
      assert.deepEqual(
        points.map(({ manifest }) => ({
          id: manifest.id,
          resource: manifest.resource,
          increment_id: manifest.increment_id,
        })),
        record.points.map(({ id, resource, increment_id }) => ({ id, resource, increment_id })),
      );
      for (const [index, point] of points.entries()) {
        for (const { name: disk, size_bytes, sha256 } of record.points[index]!.disks) {
          const content = await restored(repository, point, disk);
          assert.equal(content.sizeBytes, size_bytes);
          assert.equal(content.sha256(), sha256, `${point.key} ${disk}`);
        }
        assert.deepEqual(await tableUses(repository, point), await countedUses(repository, point));
      }
      const check = await checkRepository({ repository });
      assert.deepEqual(check.missingPacks, []);
      assert.equal(check.explained?.orphaned.packs, 0);
      assert.equal(check.encrypted, name === 'encrypted');
    });

    test(`format ${version}, ${name}: the guest's configuration is there`, async () => {
      await using golden = await open();
      const { repository } = golden;
      const { points } = await listPoints({ repository, resource: 'instances/db' });
      const reference = points[0]!.manifest.guest_configuration!;
      const content = await readFrame(repository, { kind: 'guestConfiguration', reference });
      assert.match(content.toString(), /<name>db<\/name>/);
    });

    test(`format ${version}, ${name}: maps and pack tables are written today as they were then`, async () => {
      await using golden = await open();
      const { repository } = golden;
      for (const { manifest } of (await listPoints({ repository })).points) {
        for (const reference of manifest.roots) {
          const bytes = await readFrame(repository, { kind: 'mapRoot', reference });
          const mapRoot = decodeMapRoot(bytes);
          assert.ok(encodeMapRoot(mapRoot).equals(bytes));
          for (const page of mapRoot.pages) {
            if (page.kind !== 'data') continue;
            const content = await readFrame(repository, { kind: 'mapPage', reference: page });
            assert.ok(encodeReferences(decodeReferences(content)).equals(content));
          }
        }
        for (const page of manifest.table.pages) {
          if (page.kind !== 'data') continue;
          const content = await readFrame(repository, { kind: 'tablePage', reference: page });
          assert.ok(encodeTablePage(decodeTablePage(content)).equals(content));
        }
      }
    });

    test(`format ${version}, ${name}: it takes new points, and knows what it has`, async () => {
      await using golden = await open();
      const { repository } = golden;
      const { points } = await listPoints({ repository, resource: 'volumes/web' });
      const parent = points.at(-1)!;
      const disk = await restored(repository, parent);
      const same = await backupOf(repository, { vda: disk }, { resource: 'volumes/copy' });
      assert.equal(same.point.manifest.disks[0]!.counters.new_chunks, 0);
      disk.write(Buffer.from('new'), 3);
      const changed = { vda: [{ offset: 3, length: 3 }] };
      const { point } = await backupOf(repository, { vda: disk }, { resource: 'volumes/web', parent, changed });
      assert.equal(point.manifest.actual, 'incremental');
      await assertRestores(repository, point, { vda: disk });
      await assertVerifies(repository);
    });
  }

  test(`format ${version}: an encrypted repository opens with its passphrase only`, async () => {
    await using directory = await temporaryDirectory();
    await cp(join(root, version, 'encrypted'), directory.path, { recursive: true });
    await using store = await LocalStore.open({ directory: directory.path });
    await assert.rejects(openRepository({ store }), (error) => hasCode(error, 'key_required'));
    await assert.rejects(openRepository({ store, passphrase: 'wrong' }), (error) => hasCode(error, 'key_wrong'));
  });
}

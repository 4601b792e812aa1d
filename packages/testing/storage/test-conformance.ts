/** Declares the storage conformance suite as tests of one store: a title per promise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlobStore } from '@holdfast/storage';
import { checkStorage, storageChecks } from '@holdfast/storage/conformance';

/** `open` makes a store of its own for each test; it is disposed after it. */
export function testConformance(request: { readonly title: string; readonly open: () => Promise<BlobStore> }): void {
  for (const check of storageChecks) {
    test(`${request.title} ${check.name}: ${check.promise}`, async (context) => {
      await using store = await request.open();
      const report = await checkStorage({ store, checks: [check], signal: context.signal });
      const [result] = report.results;
      if (result?.outcome === 'failed') throw result.error;
      assert.deepEqual(report.leftovers, []);
      assert.deepEqual(await Array.fromAsync(store.list('')), [], 'the suite leaves nothing behind');
      if (result?.outcome === 'skipped') context.skip(result.reason);
    });
  }
}

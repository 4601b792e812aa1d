/** Ranges: restores read nothing else. */
import { MiB } from '@holdfast/base';
import { bodyOf, broken, expectCode, randomContent } from '../expectations.ts';
import type { StorageCheck } from '../storage-check.ts';

export const rangeChecks: readonly StorageCheck[] = [
  {
    name: 'range',
    promise: 'A range gives its bytes; past the end it gives what there is, from the end on nothing.',
    run: async (store, { key, signal }) => {
      const content = randomContent(10_000);
      await store.put(key('object'), bodyOf(content));
      const ranges = [
        [0, 10_000],
        [0, 1],
        [9_999, 1],
        [4_000, 3_000],
        [5, 0],
        [9_000, 5_000],
        [9_999, 64 * MiB],
        [10_000, 1],
        [10_000, 0],
        [123_456, 10],
        [0, Number.MAX_SAFE_INTEGER],
      ] as const;
      for (const [offset, length] of ranges) {
        const got = await store.get(key('object'), { range: { offset, length }, signal });
        if (!got.equals(content.subarray(offset, Math.min(content.length, offset + length)))) {
          broken(`${length} bytes from ${offset} of 10000 gave ${got.length} bytes, not those due.`);
        }
      }
    },
  },
  {
    name: 'suffix-range',
    promise:
      'A negative offset counts from the end and reads to the end, whatever its length; it is clipped at the start.',
    run: async (store, { key, signal }) => {
      const content = randomContent(10_000);
      await store.put(key('object'), bodyOf(content));
      for (const offset of [-1, -100, -9_999, -10_000, -10_001, -123_456]) {
        for (const length of [0, 1, 50_000]) {
          const got = await store.get(key('object'), { range: { offset, length }, signal });
          if (!got.equals(content.subarray(Math.max(0, 10_000 + offset)))) {
            broken(`The suffix ${offset} (length ${length}) of 10000 bytes gave ${got.length} bytes, not those due.`);
          }
        }
      }
    },
  },
  {
    name: 'range-of-empty-object',
    promise: 'Every range of an empty object is empty.',
    run: async (store, { key }) => {
      await store.put(key('empty'), { buffers: [] });
      for (const offset of [0, 5, -1, -500]) {
        const got = await store.get(key('empty'), { range: { offset, length: 100 } });
        if (got.length > 0) broken(`An empty object gave ${got.length} bytes from ${offset}.`);
      }
    },
  },
  {
    name: 'get-of-nothing',
    promise: 'A get of what is not there fails with object_not_found, with and without a range, also of a folder.',
    run: async (store, { key }) => {
      await store.put(key('folder/object'), bodyOf(Buffer.from('x')));
      for (const name of ['nothing', 'no/where', 'folder', 'folder/object/below']) {
        await expectCode('object_not_found', store.get(key(name)), `get of ${name}`);
        const ranged = store.get(key(name), { range: { offset: 0, length: 4 } });
        await expectCode('object_not_found', ranged, `get of a range of ${name}`);
        const suffix = store.get(key(name), { range: { offset: -4, length: 4 } });
        await expectCode('object_not_found', suffix, `get of the end of ${name}`);
        if ((await store.head(key(name))) !== undefined) broken(`head finds ${name}.`);
      }
    },
  },
];

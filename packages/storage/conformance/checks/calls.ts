/** How calls behave: side by side, and when aborted. */
import { bodyOf, expect, expectAborted, expectContent, keysOf, randomContent } from '../expectations.ts';
import type { StorageCheck } from '../storage-check.ts';

export const callChecks: readonly StorageCheck[] = [
  {
    name: 'many-calls-at-once',
    promise: 'Any number of calls may be in flight at once; none mixes with another.',
    run: async (store, { key, prefix, signal }) => {
      const contents = Array.from({ length: 64 }, (_, index) => randomContent(1000 + index * 517));
      await Promise.all(
        contents.map(async (content, index) => {
          const name = key(`${index % 5}/o${index}`);
          await store.put(name, bodyOf(content), { signal });
          await Promise.all([
            expectContent(store, name, content),
            store.get(name, { range: { offset: 500, length: 100 }, signal }).then((got) => {
              expect(got.equals(content.subarray(500, 600)), `A range of ${name} gave the bytes of another.`);
            }),
          ]);
        }),
      );
      expect((await keysOf(store, prefix)).length === contents.length, 'Not all objects put at once are listed.');
    },
  },
  {
    name: 'aborted-calls',
    promise: 'Every verb that begins with an aborted signal fails with its reason and has no effect.',
    run: async (store, { key }) => {
      const content = randomContent(100);
      await store.put(key('kept'), bodyOf(content));
      const reason = new Error('aborted before it began');
      const signal = AbortSignal.abort(reason);
      await expectAborted(reason, store.put(key('kept'), bodyOf(randomContent(50)), { signal }), 'put');
      await expectAborted(reason, store.get(key('kept'), { signal }), 'get');
      await expectAborted(reason, store.head(key('kept'), { signal }), 'head');
      await expectAborted(reason, store.delete(key('kept'), { signal }), 'delete');
      await expectAborted(reason, Array.fromAsync(store.list(key('kept'), { signal })), 'list');
      await expectContent(store, key('kept'), content);
    },
  },
  {
    name: 'aborted-listing',
    promise: 'A listing stops with the reason when it is aborted on its way.',
    run: async (store, { key, prefix }) => {
      await Promise.all(Array.from({ length: 80 }, (_, index) => store.put(key(`${index}/o`), { buffers: [] })));
      const reason = new Error('aborted on its way');
      const controller = new AbortController();
      const walk = async (): Promise<void> => {
        for await (const _ of store.list(prefix, { signal: controller.signal })) controller.abort(reason);
      };
      await expectAborted(reason, walk(), 'list');
    },
  },
];

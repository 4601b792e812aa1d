/** Deletes: gone means gone, and only what was named. */
import { bodyOf, expect, expectAbsent, expectContent, keysOf, randomContent } from '../expectations.ts';
import type { StorageCheck } from '../storage-check.ts';

export const deleteChecks: readonly StorageCheck[] = [
  {
    name: 'delete',
    promise: 'A deleted object is gone for get, head and list; deleting what is not there is no error.',
    run: async (store, { key, prefix }) => {
      await store.put(key('a/b/object'), bodyOf(randomContent(10)));
      await store.delete(key('a/b/object'));
      await expectAbsent(store, key('a/b/object'));
      await store.delete(key('a/b/object'));
      await store.delete(key('never/was'));
      expect((await keysOf(store, prefix)).length === 0, 'Something is listed after the only object was deleted.');
    },
  },
  {
    name: 'delete-only-the-key',
    promise: 'A delete touches no other key, neither those below it nor those that begin like it.',
    run: async (store, { key }) => {
      const content = randomContent(20);
      for (const name of ['a/b', 'a/bc', 'ab']) await store.put(key(name), bodyOf(content));
      await store.delete(key('a'));
      await store.delete(key('a/b'));
      await store.delete(key('a/b/c'));
      await expectContent(store, key('a/bc'), content);
      await expectContent(store, key('ab'), content);
    },
  },
  {
    name: 'delete-beside-puts',
    promise: 'Puts into a folder succeed while others delete the last object of that folder.',
    run: async (store, { key, prefix }) => {
      const rounds = 25;
      const lane = async (name: string): Promise<void> => {
        for (let round = 0; round < rounds; round += 1) {
          await store.put(key(`deep/folder/${name}`), bodyOf(Buffer.from(`${name} ${round}`)), { ifAbsent: true });
          await store.delete(key(`deep/folder/${name}`));
        }
        await store.put(key(`deep/folder/${name}`), bodyOf(Buffer.from(name)));
      };
      await Promise.all(['a', 'b', 'c', 'd'].map(lane));
      const left = await keysOf(store, prefix);
      expect(left.length === 4, `${left.length} of 4 objects are there after puts and deletes side by side.`);
    },
  },
];

/** Keys: one grammar for all storages, checked before anything is touched. */
import { maxKeyLength } from '../../object-key.ts';
import { bodyOf, expectCode, expectContent } from '../expectations.ts';
import type { StorageCheck } from '../storage-check.ts';

const invalidKeys = [
  '',
  '/',
  '/absolute',
  'slash/at-the-end/',
  'two//slashes',
  '.',
  '..',
  'a/../b',
  'a/./b',
  '.hidden',
  'a/.tmp/b',
  'blank in it',
  'umlaut-ä',
  'zero\0byte',
  'back\\slash',
  'percent%2e',
  'line\nbreak',
  'colon:',
  `long/${'x'.repeat(maxKeyLength)}`,
] as const;

export const keyChecks: readonly StorageCheck[] = [
  {
    name: 'invalid-keys',
    promise: 'A key outside the grammar is refused with object_key_invalid by every verb.',
    run: async (store) => {
      for (const key of invalidKeys) {
        const shown = JSON.stringify(key.slice(0, 30));
        await expectCode('object_key_invalid', store.put(key, { buffers: [] }), `put of ${shown}`);
        await expectCode('object_key_invalid', store.get(key), `get of ${shown}`);
        await expectCode('object_key_invalid', store.head(key), `head of ${shown}`);
        await expectCode('object_key_invalid', store.delete(key), `delete of ${shown}`);
      }
      for (const prefix of ['/', '..', 'a//b', '.t', 'a/../b']) {
        const listing = Array.fromAsync(store.list(prefix));
        await expectCode('object_key_invalid', listing, `list of ${JSON.stringify(prefix)}`);
      }
    },
  },
  {
    name: 'valid-keys',
    promise: 'Every key within the grammar works, up to 512 characters; upper and lower case differ.',
    run: async (store, { key, prefix }) => {
      const room = maxKeyLength - prefix.length;
      const long = `${'l'.repeat(Math.min(200, room - 2))}/`.repeat(3).slice(0, room - 1);
      const names = ['x', '-', '_', 'a.b.c', 'trailing.', '0', 'CASE', 'case', 'a-_.Z9', `${long}e`];
      for (const name of names) await store.put(key(name), bodyOf(Buffer.from(name)));
      for (const name of names) await expectContent(store, key(name), Buffer.from(name));
    },
  },
];

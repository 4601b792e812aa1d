/** Listings: complete, fresh, in order. The collector's truth is the listing of restore points. */
import { setImmediate } from 'node:timers/promises';
import { bodyOf, expect, infosOf, keysOf, randomContent } from '../expectations.ts';
import type { StorageCheck } from '../storage-check.ts';

export const listingChecks: readonly StorageCheck[] = [
  {
    name: 'list-after-write',
    promise: 'An object is listed as soon as its put has finished, and no more once its delete has.',
    probes: 'listAfterWrite',
    run: async (store, { key, prefix }) => {
      for (let index = 0; index < 10; index += 1) {
        const name = key(`${index % 3}/new-${index}`);
        await store.put(name, bodyOf(randomContent(index)));
        const found = (await infosOf(store, prefix)).find((info) => info.key === name);
        expect(found?.sizeBytes === index, `${name} is listed as ${JSON.stringify(found)} right after its put.`);
        if (index % 2 === 0) await store.delete(name);
      }
      const left = (await keysOf(store, prefix)).length;
      expect(left === 5, `${left} objects are listed after 10 puts and 5 deletes.`);
    },
  },
  {
    name: 'list-order',
    promise: 'Keys are listed in ascending byte order, folders and objects mixed.',
    run: async (store, { key, prefix }) => {
      const names = [
        'a',
        'a-b',
        'a.b',
        'a0/x',
        'aa/b/c',
        'B/y',
        'a_/z',
        'a-/x',
        'b/0/1',
        'b/00',
        'b-/1',
        '_',
        '9',
        'Z',
      ];
      for (const name of names) await store.put(key(name), bodyOf(Buffer.from(name)));
      // 'folder/x' next to 'folder-x' and 'folder.x': the order of names alone would be wrong.
      for (const name of ['f/x', 'f-x', 'f.x', 'f0', 'f/-', 'f-/x'])
        await store.put(key(name), bodyOf(Buffer.from(name)));
      const listed = await keysOf(store, prefix);
      const sorted = [...listed].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
      expect(listed.length === names.length + 6, `${listed.length} of ${names.length + 6} objects are listed.`);
      expect(
        listed.join() === sorted.join(),
        `The order is ${listed.map((name) => name.slice(prefix.length)).join(' ')}.`,
      );
    },
  },
  {
    name: 'list-prefix',
    promise: 'A prefix may end anywhere, also within a segment; exactly the keys that begin with it are listed.',
    run: async (store, { key, prefix }) => {
      const names = ['ab/c1', 'ab/c2', 'ab/d/c3', 'abc', 'abd/x', 'b', 'ab-x/c'];
      for (const name of names) await store.put(key(name), bodyOf(Buffer.from(name)));
      for (const part of [
        '',
        'a',
        'ab',
        'ab/',
        'ab/c',
        'ab/c1',
        'ab/c1x',
        'ab/d',
        'ab/d/',
        'abc',
        'abc/',
        'x',
        'x/y/z',
        'b/',
      ]) {
        const due = names.filter((name) => name.startsWith(part)).sort();
        const seen = (await keysOf(store, prefix + part)).map((name) => name.slice(prefix.length)).sort();
        expect(seen.join() === due.join(), `The prefix ${part} gives ${seen.join(' ')} instead of ${due.join(' ')}.`);
      }
    },
  },
  {
    name: 'list-many',
    promise: 'A listing of many objects is complete, each key once, with its size; it may be left early.',
    run: async (store, { key, prefix }) => {
      const count = 300;
      await Promise.all(
        Array.from({ length: count }, (_, index) =>
          store.put(key(`${index % 7}/o${index}`), bodyOf(Buffer.alloc(index))),
        ),
      );
      const infos = await infosOf(store, prefix);
      const sizes = new Set(infos.map(({ sizeBytes }) => sizeBytes));
      expect(infos.length === count && sizes.size === count, `${infos.length} of ${count} objects are listed.`);
      for await (const info of store.list(prefix)) {
        expect(info.key === infos[0]?.key, 'A second listing begins with another key.');
        break;
      }
    },
  },
  {
    name: 'list-while-changing',
    promise: 'What exists through a whole listing is in it, whatever comes and goes beside it.',
    run: async (store, { key, prefix }) => {
      const stable = Array.from({ length: 40 }, (_, index) => key(`d${index}/stable`));
      for (const name of stable) await store.put(name, bodyOf(Buffer.from(name)));
      let listing = true;
      const disturb = async (): Promise<void> => {
        for (let round = 0; listing; round += 1) {
          // A store that never waits would keep the listing from its turn for ever.
          await setImmediate();
          const name = key(`d${round % 40}x/passing`);
          await store.put(name, bodyOf(Buffer.from('passing')));
          await store.delete(name);
        }
      };
      const look = async (): Promise<void> => {
        try {
          for (let round = 0; round < 10; round += 1) {
            const seen = new Set(await keysOf(store, prefix));
            const missing = stable.filter((name) => !seen.has(name));
            expect(missing.length === 0, `${missing.length} lasting objects were not listed.`);
          }
        } finally {
          listing = false;
        }
      };
      await Promise.all([look(), disturb(), disturb()]);
    },
  },
];

/** The suite is only worth something if it finds each way to break the contract. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode } from '@holdfast/base';
import { MemoryStore } from '@holdfast/testing';
import type { BlobStore } from '../blob-store.ts';
import { checkStorage, type StorageCheckResult } from './check-storage.ts';

/** A memory store with some verbs replaced; `inner` is the sound one. */
function brokenStore(replace: (inner: MemoryStore) => Partial<BlobStore>): BlobStore {
  const inner = new MemoryStore();
  const sound: BlobStore = {
    capabilities: inner.capabilities,
    put: (...call) => inner.put(...call),
    get: (...call) => inner.get(...call),
    list: (...call) => inner.list(...call),
    delete: (...call) => inner.delete(...call),
    head: (...call) => inner.head(...call),
    [Symbol.asyncDispose]: async () => {},
  };
  return { ...sound, ...replace(inner) };
}

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function contentOf(body: Parameters<BlobStore['put']>[1]): Promise<Buffer> {
  return Buffer.concat('buffers' in body ? body.buffers : await Array.fromAsync(body.open()));
}

const defects: readonly {
  readonly defect: string;
  /** One of the checks that must find it. */
  readonly found: string;
  readonly store: BlobStore;
}[] = [
  {
    defect: 'half an object is visible while it is written',
    found: 'readers-see-whole-objects',
    store: brokenStore((inner) => ({
      put: async (key, body, options) => {
        const content = await contentOf(body);
        await inner.put(key, { buffers: [content.subarray(0, content.length / 2)] }, options);
        await pause();
        await inner.put(key, { buffers: [content] });
      },
    })),
  },
  {
    defect: 'an aborted put leaves what was sent',
    found: 'aborted-put',
    store: brokenStore((inner) => ({
      put: async (key, body, options) => {
        const sent: Buffer[] = [];
        try {
          if ('buffers' in body) return await inner.put(key, body, options);
          for await (const chunk of body.open()) sent.push(chunk);
          options?.signal?.throwIfAborted();
        } finally {
          if (!('buffers' in body)) await inner.put(key, { buffers: sent });
        }
      },
    })),
  },
  {
    defect: 'a stream that ends early is taken',
    found: 'stream-of-wrong-size',
    store: brokenStore((inner) => ({
      put: async (key, body, options) => inner.put(key, { buffers: [await contentOf(body)] }, options),
    })),
  },
  {
    defect: 'ifAbsent is ignored',
    found: 'create-only-put',
    store: brokenStore((inner) => ({ put: (key, body, options) => inner.put(key, body, { signal: options?.signal }) })),
  },
  {
    defect: 'ifAbsent looks first and writes then',
    found: 'create-only-race',
    store: brokenStore((inner) => ({
      put: async (key, body, options) => {
        if (options?.ifAbsent && (await inner.head(key))) throw new HoldfastError('object_exists', key);
        await pause();
        await inner.put(key, body, { signal: options?.signal });
      },
    })),
  },
  {
    defect: 'listings are a moment old',
    found: 'list-after-write',
    store: brokenStore((inner) => {
      let shown = inner.clone();
      return {
        list: async function* (prefix, options) {
          const old = shown;
          shown = inner.clone();
          yield* old.list(prefix, options);
        },
      };
    }),
  },
  {
    defect: 'listings are in the order of names',
    found: 'list-order',
    store: brokenStore((inner) => ({
      list: async function* (prefix, options) {
        const infos = await Array.fromAsync(inner.list(prefix, options));
        const rank = (key: string): string => key.replaceAll('/', '\0');
        yield* infos.sort((left, right) => (rank(left.key) < rank(right.key) ? -1 : 1));
      },
    })),
  },
  {
    defect: 'prefixes match whole segments only',
    found: 'list-prefix',
    store: brokenStore((inner) => ({
      list: (prefix, options) => inner.list(prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`, options),
    })),
  },
  {
    defect: 'a range past the end fails',
    found: 'range',
    store: brokenStore((inner) => ({
      get: async (key, options) => {
        const size = (await inner.head(key))?.sizeBytes ?? 0;
        if (options?.range && options.range.offset + options.range.length > size) throw new Error('416');
        return await inner.get(key, options);
      },
    })),
  },
  {
    defect: 'a suffix range honours its length',
    found: 'suffix-range',
    store: brokenStore((inner) => ({
      get: async (key, options) => {
        const got = await inner.get(key, options);
        return options?.range && options.range.offset < 0 ? got.subarray(0, options.range.length) : got;
      },
    })),
  },
  {
    defect: 'deleting nothing fails',
    found: 'delete',
    store: brokenStore((inner) => ({
      delete: async (key, options) => {
        if (!(await inner.head(key, options))) throw new HoldfastError('object_not_found', key);
        await inner.delete(key, options);
      },
    })),
  },
  {
    defect: 'a delete takes what lies below',
    found: 'delete-only-the-key',
    store: brokenStore((inner) => ({
      delete: async (key, options) => {
        for (const info of await Array.fromAsync(inner.list(key, options))) await inner.delete(info.key, options);
      },
    })),
  },
  {
    defect: 'keys do not differ by case',
    found: 'valid-keys',
    store: brokenStore((inner) => ({
      put: (key, body, options) => inner.put(key.toLowerCase(), body, options),
      get: (key, options) => inner.get(key.toLowerCase(), options),
      head: async (key, options) => {
        const info = await inner.head(key.toLowerCase(), options);
        return info && { ...info, key };
      },
    })),
  },
  {
    defect: 'aborted signals are ignored',
    found: 'aborted-calls',
    store: brokenStore((inner) => ({ delete: (key) => inner.delete(key) })),
  },
  {
    defect: 'errors are not those of the catalogue',
    found: 'get-of-nothing',
    store: brokenStore((inner) => ({
      get: (key, options) => inner.get(key, options).catch(() => Promise.reject(new Error('404'))),
    })),
  },
];

for (const { defect, found, store } of defects) {
  test(`the suite finds that ${defect}`, async () => {
    const { results } = await checkStorage({ store });
    const failed = results.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
    assert.ok(failed.includes(found), `failed: ${failed.join(' ') || 'nothing'}`);
  });
}

test('a sound store passes, is told so check by check, and keeps nothing but what it had', async () => {
  const store = new MemoryStore();
  await store.put('repo.json', { buffers: [] });
  const told: StorageCheckResult[] = [];
  const report = await checkStorage({ store, onResult: (result) => told.push(result) });
  assert.deepEqual(told, report.results);
  assert.equal(report.passed, report.results.length);
  assert.deepEqual(report.leftovers, []);
  assert.deepEqual([...store.objects().keys()], ['repo.json']);
});

test('a capability that is neither claimed nor there is a skip, and the probe says no', async () => {
  const inner = new MemoryStore({ capabilities: { createOnlyPut: false } });
  const put = inner.put.bind(inner);
  const store = Object.assign(inner, {
    put: (...[key, body, options]: Parameters<BlobStore['put']>) => put(key, body, { signal: options?.signal }),
  });
  const report = await checkStorage({ store });
  assert.equal(report.failed, 0);
  assert.equal(report.skipped, 2);
  assert.equal(report.capabilities.createOnlyPut, false);
  assert.equal(report.capabilities.listAfterWrite, true);
});

test('a capability that is not claimed but there is found by the probe', async () => {
  const report = await checkStorage({ store: new MemoryStore({ capabilities: { listAfterWrite: false } }) });
  assert.equal(report.capabilities.listAfterWrite, true);
});

test('a scratch prefix in use is refused and left alone', async () => {
  const store = new MemoryStore();
  await store.put('scratch/mine', { buffers: [] });
  const check = checkStorage({ store, scratchPrefix: 'scratch' });
  await assert.rejects(check, (error) => hasCode(error, 'object_exists'));
  assert.deepEqual([...store.objects().keys()], ['scratch/mine']);
});

test('an abort ends the suite and leaves nothing', async () => {
  const store = new MemoryStore();
  const controller = new AbortController();
  let results = 0;
  const onResult = (): void => {
    results += 1;
    if (results === 3) controller.abort(new Error('enough'));
  };
  await assert.rejects(checkStorage({ store, signal: controller.signal, onResult }), { message: 'enough' });
  assert.equal(results, 3);
  assert.equal(store.objects().size, 0);
});

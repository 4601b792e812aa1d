/** A process that is suspended at the worst moment, while others go on. */
import type { BlobStore } from '@holdfast/storage';
import type { StorageCall } from '@holdfast/testing';
import type { Repository } from '../repository/repository.ts';
import { through } from '../repository-fixture.ts';

export type Moment = (call: Pick<StorageCall, 'verb' | 'key'>) => boolean;

/** A repository whose user is suspended right before its first call at this moment, while `meanwhile` runs. */
export function suspended(repository: Repository, moment: Moment, meanwhile: () => Promise<void>): Repository {
  const { store } = repository;
  let isDone = false;
  const pass = async (verb: StorageCall['verb'], key: string): Promise<void> => {
    if (isDone || !moment({ verb, key })) return;
    isDone = true;
    await meanwhile();
  };
  const held: BlobStore = {
    capabilities: store.capabilities,
    put: async (key, ...rest) => {
      await pass('put', key);
      await store.put(key, ...rest);
    },
    get: async (key, ...rest) => {
      await pass('get', key);
      return await store.get(key, ...rest);
    },
    list: async function* (prefix, ...rest) {
      await pass('list', prefix);
      yield* store.list(prefix, ...rest);
    },
    delete: async (key, ...rest) => {
      await pass('delete', key);
      await store.delete(key, ...rest);
    },
    head: async (key, ...rest) => {
      await pass('head', key);
      return await store.head(key, ...rest);
    },
    [Symbol.asyncDispose]: async () => {},
  };
  return through(repository, held);
}

/** A put is atomic and whole: complete, or not there. */
import { setImmediate } from 'node:timers/promises';
import { MiB } from '@holdfast/base';
import type { BlobBody } from '../../blob-store.ts';
import {
  bodyOf,
  broken,
  expect,
  expectAborted,
  expectAbsent,
  expectContent,
  keysOf,
  randomContent,
} from '../expectations.ts';
import type { StorageCheck } from '../storage-check.ts';

export const wholePutChecks: readonly StorageCheck[] = [
  {
    name: 'put-then-get',
    promise: 'What was put is there, byte for byte, as soon as the put has finished.',
    run: async (store, { key, signal }) => {
      const content = randomContent(70_000);
      const parts = [content.subarray(0, 1), Buffer.alloc(0), content.subarray(1, 4097), content.subarray(4097)];
      await store.put(key('parts'), { buffers: parts }, { signal });
      await expectContent(store, key('parts'), content);
    },
  },
  {
    name: 'many-buffers',
    promise: 'A body may consist of thousands of buffers.',
    run: async (store, { key, signal }) => {
      const content = randomContent(5000 * 17);
      const buffers = Array.from({ length: 5000 }, (_, index) => content.subarray(index * 17, (index + 1) * 17));
      await store.put(key('many'), { buffers }, { signal });
      await expectContent(store, key('many'), content);
    },
  },
  {
    name: 'empty-object',
    promise: 'An object may be empty, as buffers and as a stream.',
    run: async (store, { key, signal }) => {
      await store.put(key('no-buffers'), { buffers: [] }, { signal });
      await store.put(key('stream'), { sizeBytes: 0, open: () => chunks([]) }, { signal });
      await expectContent(store, key('no-buffers'), Buffer.alloc(0));
      await expectContent(store, key('stream'), Buffer.alloc(0));
    },
  },
  {
    name: 'large-object',
    promise: 'An object of 40 MiB comes back byte for byte.',
    run: async (store, { key, signal }) => {
      const content = randomContent(40 * MiB);
      await store.put(key('large'), { buffers: [content.subarray(0, 5), content.subarray(5)] }, { signal });
      await expectContent(store, key('large'), content);
    },
  },
  {
    name: 'stream-body',
    promise: 'A body may be a stream.',
    run: async (store, { key, signal }) => {
      const content = randomContent(3 * MiB + 11);
      await store.put(key('stream'), streamOf(content, 100_003), { signal });
      await expectContent(store, key('stream'), content);
    },
  },
  {
    name: 'stream-of-wrong-size',
    promise: 'A stream that gives less or more than it promised leaves nothing.',
    run: async (store, { key }) => {
      const content = randomContent(1000);
      for (const sizeBytes of [999, 1001]) {
        const body: BlobBody = { sizeBytes, open: () => chunks([content.subarray(0, 500), content.subarray(500)]) };
        const failed = await store.put(key('wrong'), body).then(
          () => false,
          () => true,
        );
        expect(failed, `A put of ${content.length} bytes that promised ${sizeBytes} succeeded.`);
        await expectAbsent(store, key('wrong'));
      }
    },
  },
  {
    name: 'failing-stream',
    promise: 'A put whose stream fails in the middle fails with the same error and leaves nothing.',
    run: async (store, { key, prefix }) => {
      const reason = new Error('the source broke off');
      await expectAborted(reason, store.put(key('half'), breakingStream(reason)), 'A put of a broken stream');
      await expectAbsent(store, key('half'));
      expect((await keysOf(store, prefix)).length === 0, 'The failed put left something that is listed.');
    },
  },
  {
    name: 'aborted-put',
    promise: 'A put aborted in the middle leaves nothing, or the old content where there was some.',
    run: async (store, { key, prefix }) => {
      const old = randomContent(100);
      await store.put(key('old'), bodyOf(old));
      for (const name of ['new', 'old']) {
        const controller = new AbortController();
        const reason = new Error('aborted by the check');
        const body: BlobBody = {
          sizeBytes: 2 * MiB,
          open: async function* () {
            yield randomContent(MiB);
            controller.abort(reason);
            yield randomContent(MiB);
          },
        };
        await expectAborted(reason, store.put(key(name), body, { signal: controller.signal }), 'A put');
      }
      await expectAbsent(store, key('new'));
      await expectContent(store, key('old'), old);
      expect((await keysOf(store, prefix)).join() === key('old'), 'The aborted put left something that is listed.');
    },
  },
  {
    name: 'overwrite',
    promise: 'A put replaces what is under the key.',
    run: async (store, { key, signal }) => {
      const second = randomContent(300);
      await store.put(key('twice'), bodyOf(randomContent(5000)), { signal });
      await store.put(key('twice'), bodyOf(second), { signal });
      await expectContent(store, key('twice'), second);
    },
  },
  {
    name: 'readers-see-whole-objects',
    promise: 'Who reads while an object is replaced sees one content or the other, never a mixture or a part.',
    run: async (store, { key, signal }) => {
      const contents = [Buffer.alloc(900_000, 'a'), Buffer.alloc(700_000, 'b')] as const;
      await store.put(key('shared'), bodyOf(contents[0]));
      let writing = true;
      const write = async (): Promise<void> => {
        try {
          for (let round = 1; round <= 12; round += 1) {
            await store.put(key('shared'), bodyOf(contents[round % 2 === 0 ? 0 : 1]), { signal });
          }
        } finally {
          writing = false;
        }
      };
      const read = async (): Promise<void> => {
        while (writing) {
          // A store that never waits would keep the writer from its turn for ever.
          await setImmediate();
          const got = await store.get(key('shared'), { signal });
          if (!contents.some((content) => content.equals(got))) broken(`A reader saw ${got.length} bytes of neither.`);
        }
      };
      await Promise.all([write(), read(), read()]);
    },
  },
];

async function* chunks(list: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* list;
}

function streamOf(content: Buffer, chunkBytes: number): BlobBody {
  return {
    sizeBytes: content.length,
    open: async function* () {
      for (let at = 0; at < content.length; at += chunkBytes) yield content.subarray(at, at + chunkBytes);
    },
  };
}

function breakingStream(reason: Error): BlobBody {
  return {
    sizeBytes: 2 * MiB,
    open: async function* () {
      yield randomContent(MiB);
      throw reason;
    },
  };
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseServerSentEvents } from './server-sent-events.ts';

const stream =
  ': hello\n\nid: 1\nevent: user.created\ndata: {"name":"Zoë"}\n\n: ping\n\nid: 2\ndata: a\ndata: b\n\nid: 3\ndata: cut';

test('events are read whole, wherever the stream is cut into parts; what is cut off is none', async () => {
  const bytes = Buffer.from(stream);
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 }));
  await fc.assert(
    fc.asyncProperty(cuts, async (places) => {
      const sorted = [0, ...places.toSorted((a, b) => a - b), bytes.length];
      async function* parts() {
        for (const [index, from] of sorted.entries()) yield bytes.subarray(from, sorted[index + 1] ?? bytes.length);
      }
      assert.deepEqual(await Array.fromAsync(parseServerSentEvents(parts())), [
        { id: '1', type: 'user.created', data: '{"name":"Zoë"}' },
        { id: '2', type: 'message', data: 'a\nb' },
      ]);
    }),
  );
});

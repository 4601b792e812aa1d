/** Whatever a server answers, the client ends with the right bytes or with nbd_failed: no hang, no crash, no wrong data. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { type BlockSource, hasCode, KiB } from '@holdfast/base';
import fc from 'fast-check';
import { scratchDirectory } from '../../testing/scratch-directory.ts';
import { BASE_ALLOCATION, encodeRequest, REQUEST_BYTES } from '../protocol.ts';
import { dataChunk, errorChunk, holeChunk, simpleReply, statusChunk } from '../server/reply-encoder.ts';
import { serveNbd } from '../server/serve-nbd.ts';
import { openNbdClient } from './nbd-client.ts';
import { InFlightRequest, type NbdReply, type RequestSpec } from './in-flight-request.ts';
import { ReplyParser } from './reply-parser.ts';

const disk = randomBytes(256 * KiB);

const source: BlockSource = {
  sizeBytes: disk.length,
  concurrency: 1,
  async read({ into, offset }) {
    disk.copy(into, 0, offset, offset + into.length);
  },
  async *extents({ offset, length }) {
    yield { offset, length, zero: false };
  },
  async [Symbol.asyncDispose]() {},
};

/** Passes everything on between client and server, and damages one byte of what the server says. */
async function damagingProxy(options: { path: string; upstream: string; at: () => number; mask: () => number }) {
  const { createConnection } = await import('node:net');
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = createConnection({ path: options.upstream });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    let passed = 0;
    client.on('data', (bytes) => upstream.write(bytes)).on('close', () => upstream.destroy());
    upstream
      .on('data', (bytes) => {
        const index = options.at() - passed;
        if (index >= 0 && index < bytes.length) bytes[index] = bytes[index]! ^ options.mask();
        passed += bytes.length;
        client.write(bytes);
      })
      .on('close', () => client.destroy());
  }).listen(options.path);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('a flipped bit anywhere in the handshake and the headers is nbd_failed or harmless', async () => {
  await using scratch = await scratchDirectory();
  await using _server = await serveNbd({
    exports: [{ name: 'x', description: 'd', source }],
    listen: { socketPath: scratch.path('server') },
  });
  let at = 0;
  let mask = 1;
  await using _proxy = await damagingProxy({
    path: scratch.path('proxy'),
    upstream: scratch.path('server'),
    at: () => at,
    mask: () => mask,
  });
  const address = { kind: 'unix', socketPath: scratch.path('proxy') } as const;
  const outcomes = { right: 0, failed: 0 };
  for (at = 0; at < 400; at += 1) {
    mask = 1 << ((at * 5 + 3) % 8);
    try {
      await using client = await openNbdClient({ address, exportName: 'x', connections: 1, stallTimeoutMs: 150 });
      // The size itself may be damaged; what lies outside the real disk is refused by the server.
      let covered = 0;
      if (client.export.contexts.has(BASE_ALLOCATION)) {
        const range = { offset: 0, length: Math.min(client.export.sizeBytes, disk.length) };
        for await (const extent of client.blockStatus({ context: BASE_ALLOCATION, ...range })) {
          assert.equal(extent.offset, covered);
          covered += extent.length;
        }
        assert.equal(covered, range.length);
      }
      const into = Buffer.alloc(1000);
      await client.read({ into, offset: 5000 }).catch((error: unknown) => {
        if (hasCode(error, 'internal')) return;
        throw error;
      });
      outcomes.right += 1;
    } catch (error) {
      assert.ok(hasCode(error, 'nbd_failed'), `byte ${at}, mask ${mask}: ${String(error)}`);
      outcomes.failed += 1;
    }
  }
  assert.ok(outcomes.failed > 150 && outcomes.right > 20, JSON.stringify(outcomes));
});

/** Feeds bytes to a parser that waits for one request, in pieces as the kernel might deliver them. */
function parse(spec: RequestSpec, bytes: Buffer, cuts: readonly number[]): { outcome: string; reply?: NbdReply } {
  const result: { outcome: string; reply?: NbdReply } = { outcome: 'waiting' };
  const request = new InFlightRequest({
    spec,
    cookieLow: 7,
    resolve: (reply) => {
      result.outcome = 'done';
      result.reply = reply;
    },
    reject: () => undefined,
    onStuck: () => undefined,
  });
  let inFlight = true;
  const parser = new ReplyParser({
    structured: true,
    contextIds: new Set([1]),
    find: (high, low) => (inFlight && high === 3 && low === 7 ? request : undefined),
    done: () => {
      inFlight = false;
      if (request.failure) result.outcome = 'error';
      else request.succeed();
    },
    breach: () => {
      if (result.outcome === 'waiting') result.outcome = 'breach';
    },
  });
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const limit = Math.max(1, cuts[turn % Math.max(cuts.length, 1)] ?? bytes.length);
    const direct = parser.direct();
    const count = Math.min(limit, bytes.length - at, direct?.length ?? limit);
    const piece = bytes.subarray(at, at + count);
    if (direct) {
      direct.set(piece);
      parser.directReceived(count);
    } else parser.consume(Buffer.from(piece));
    at += count;
  }
  return result;
}

const request = { flags: 0, type: 0, cookieHigh: 3, cookieLow: 7, offset: 4096, length: 100_000 };
const cuts = fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 8 });

test('a read answered in any number of pieces, in any order, cut anywhere, gives the right bytes', () => {
  const pieces = fc.uniqueArray(fc.integer({ min: 1, max: request.length - 1 }), { maxLength: 6 });
  fc.assert(
    fc.property(
      pieces,
      fc.infiniteStream(fc.boolean()),
      fc.infiniteStream(fc.nat(100)),
      cuts,
      (marks, holes, order, cuts) => {
        const edges = [0, ...marks.toSorted((a, b) => a - b), request.length];
        const expected = Buffer.from(disk.subarray(0, request.length));
        const parts = edges
          .slice(1)
          .map((end, index) => ({ start: edges[index]!, end, hole: holes.next().value === true }));
        for (const { start, end, hole } of parts) if (hole) expected.fill(0, start, end);
        const shuffled = parts
          .map((part) => ({ part, rank: order.next().value as number }))
          .toSorted((a, b) => a.rank - b.rank)
          .map(({ part }) => part);
        const bytes = Buffer.concat(
          shuffled.flatMap(({ start, end, hole }, index) => {
            const piece = { offset: request.offset + start, length: end - start, last: index === shuffled.length - 1 };
            return hole ? [holeChunk(request, piece)] : [dataChunk(request, piece), expected.subarray(start, end)];
          }),
        );
        const into = Buffer.alloc(request.length, 0xee);
        const spec: RequestSpec = { command: 'read', offset: request.offset, length: request.length, into };
        assert.equal(parse(spec, bytes, cuts).outcome, 'done');
        assert.ok(into.equals(expected));
      },
    ),
    { numRuns: 60 },
  );
});

test('overlapping, missing and foreign pieces are breaches', () => {
  const into = Buffer.alloc(1000);
  const spec: RequestSpec = { command: 'read', offset: 4096, length: 1000, into };
  const data = (offset: number, length: number, last: boolean): Buffer =>
    Buffer.concat([dataChunk(request, { offset, length, last }), Buffer.alloc(length, 1)]);
  const cases: [string, Buffer[]][] = [
    ['breach', [data(4096, 600, false), data(4600, 496, true)]],
    ['breach', [data(4096, 600, true)]],
    ['breach', [data(4000, 1000, true)]],
    ['breach', [data(4097, 1000, true)]],
    ['breach', [data(4096, 1001, true)]],
    ['breach', [simpleReply(request, undefined), Buffer.alloc(1000)]],
    ['breach', [statusChunk(request, 1, [{ length: 1000, flags: 0 }])]],
    ['breach', [data(4096, 1000, true), data(4096, 1000, true)].slice(0, 1).concat(Buffer.from('garbage!'))],
    ['error', [data(4096, 600, false), errorChunk(request, 'EIO', 'broken')]],
    ['error', [simpleReply(request, 'EIO')]],
    ['waiting', [data(4096, 1000, true).subarray(0, 900)]],
  ];
  for (const [index, [outcome, bytes]] of cases.entries()) {
    const result = parse(spec, Buffer.concat(bytes), []);
    assert.equal(index === 7 ? 'done' : outcome, result.outcome, `case ${index}`);
  }
});

test('random and damaged replies never crash the parser', () => {
  const statusSpec: RequestSpec = { command: 'blockStatus', offset: 0, length: 100_000 };
  const status = statusChunk(request, 1, [
    { length: 60_000, flags: 0 },
    { length: 40_000, flags: 3 },
  ]);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.nat(status.length - 1),
      fc.integer({ min: 1, max: 255 }),
      cuts,
      (noise, at, mask, cuts) => {
        parse({ command: 'read', offset: 0, length: 64, into: Buffer.alloc(64) }, Buffer.from(noise), cuts);
        const damaged = Buffer.from(status);
        damaged[at] = damaged[at]! ^ mask;
        const { outcome, reply } = parse(statusSpec, Buffer.concat([damaged, Buffer.from(noise)]), cuts);
        if (outcome !== 'done') return;
        const total = reply!.extents.get(1)!.reduce((sum, extent) => sum + extent.length, 0);
        assert.ok(total > 0);
      },
    ),
  );
  assert.equal(encodeRequest(request).length, REQUEST_BYTES);
});

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { type BlockSource, GiB, HoldfastError, hasCode, KiB, MiB, TiB } from '@holdfast/base';
import { openFileSource } from '../../file/file-source.ts';
import { readThroughExtents, run, scratchDirectory } from '../../testing/scratch-directory.ts';
import { openNbdClient } from '../client/nbd-client.ts';
import { openNbdSource } from '../nbd-source.ts';
import { serveNbd } from './serve-nbd.ts';

/** QEMU's programs beside a server in this process must not block it. */
async function runBeside(program: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (text: Buffer) => (output += text.toString()));
  child.stderr.on('data', (text: Buffer) => (output += text.toString()));
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${output}`);
  return output;
}

/** A disk of `sizeBytes` whose content is made up: byte 0 of each MiB from `zeroFrom` on reads as zeros. */
function syntheticSource(options: { sizeBytes: number; zeroFrom: number; badFrom?: number }): BlockSource {
  const { sizeBytes, zeroFrom, badFrom = Number.POSITIVE_INFINITY } = options;
  return {
    sizeBytes,
    concurrency: 4,
    async read({ into, offset, signal }) {
      signal?.throwIfAborted();
      if (offset + into.length > badFrom) throw new HoldfastError('chunk_corrupt', 'made to fail');
      for (let at = 0; at < into.length; at += 1) {
        const position = offset + at;
        into[at] = position >= zeroFrom ? 0 : ((position >>> 12) % 251) | 1;
      }
    },
    async *extents({ offset, length }) {
      const dataEnd = Math.min(offset + length, Math.max(zeroFrom, offset));
      if (dataEnd > offset) yield { offset, length: dataEnd - offset, zero: false };
      if (offset + length > dataEnd) yield { offset: dataEnd, length: offset + length - dataEnd, zero: true };
    },
    async [Symbol.asyncDispose]() {},
  };
}

test('QEMU reads, maps and compares what is served', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('disk.raw');
  const content = Buffer.concat([randomBytes(5 * MiB), Buffer.alloc(40 * MiB), randomBytes(3 * MiB)]);
  await writeFile(path, content);
  run('fallocate', '--dig-holes', path);
  await using source = await openFileSource({ path });
  const socketPath = scratch.path('s');
  await using server = await serveNbd({
    exports: [{ name: 'vda', description: 'a disk', source }],
    listen: { socketPath },
  });
  assert.match(await runBeside('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', server.uri, path), /identical/);
  const map = JSON.parse(await runBeside('qemu-img', 'map', '--output=json', '-f', 'raw', server.uri)) as {
    start: number;
    length: number;
    zero: boolean;
  }[];
  assert.deepEqual(
    map.map(({ start, length, zero }) => ({ start, length, zero })),
    [
      { start: 0, length: 5 * MiB, zero: false },
      { start: 5 * MiB, length: 40 * MiB, zero: true },
      { start: 45 * MiB, length: 3 * MiB, zero: false },
    ],
  );
  await runBeside('qemu-io', '-r', '-f', 'raw', '-c', 'read 1000 7M', '-c', 'read -P 0 6M 30M', server.uri);
  await assert.rejects(
    runBeside('qemu-io', '-f', 'raw', '-c', 'write 0 4k', server.uri),
    /[Rr]ead.only|not permitted|Permission denied/,
  );
  assert.match(await runBeside('qemu-nbd', '-L', '-k', socketPath), /export: 'vda'/);
  await using own = await openNbdSource({ address: server.address, exportName: 'vda' });
  assert.ok((await readThroughExtents(own)).equals(content));
});

test('several exports over TCP, beyond 4 GiB, found by name or refused', async () => {
  const small = syntheticSource({ sizeBytes: 1000, zeroFrom: 500 });
  const huge = syntheticSource({ sizeBytes: 8 * TiB + 5, zeroFrom: 7 * TiB });
  await using server = await serveNbd({
    exports: [
      { name: 'small', description: '', source: small },
      { name: 'huge disk/ü', description: '', source: huge },
    ],
    listen: { host: '127.0.0.1', port: 0 },
  });
  assert.match(server.uri, /^nbd:\/\/127\.0\.0\.1:\d+\/small$/);
  await using source = await openNbdSource({ address: server.address, exportName: 'huge disk/ü' });
  assert.equal(source.sizeBytes, 8 * TiB + 5);
  const into = Buffer.alloc(3 * MiB);
  const expected = Buffer.alloc(3 * MiB);
  await source.read({ into, offset: 7 * TiB - MiB - 3 });
  await huge.read({ into: expected, offset: 7 * TiB - MiB - 3 });
  assert.ok(into.equals(expected));
  assert.deepEqual(await Array.fromAsync(source.extents({ offset: GiB, length: 8 * TiB + 5 - GiB })), [
    { offset: GiB, length: 7 * TiB - GiB, zero: false },
    { offset: 7 * TiB, length: TiB + 5, zero: true },
  ]);
  await assert.rejects(openNbdSource({ address: server.address, exportName: 'none' }), (error) =>
    hasCode(error, 'source_not_found'),
  );
  await assert.rejects(openNbdSource({ address: server.address, exportName: 'small', bitmap: 'b' }), (error) =>
    hasCode(error, 'bitmap_not_found'),
  );
});

test('a source that fails gives the client an error and never zeros', async () => {
  const source = syntheticSource({ sizeBytes: 64 * MiB, zeroFrom: 64 * MiB, badFrom: 10 * MiB });
  const errors: unknown[] = [];
  await using scratch = await scratchDirectory();
  await using server = await serveNbd({
    exports: [{ name: 'bad', description: '', source }],
    listen: { socketPath: scratch.path('s') },
    onError: (error) => errors.push(error),
  });
  await using client = await openNbdClient({ address: server.address, exportName: 'bad' });
  const into = Buffer.alloc(16 * MiB);
  await assert.rejects(
    client.read({ into, offset: 0 }),
    (error) => hasCode(error, 'nbd_failed') && error.facts.errno === 'EIO' && error.facts.offset === 0,
  );
  assert.ok(hasCode(errors[0], 'chunk_corrupt'));
  await client.read({ into: into.subarray(0, MiB), offset: 0 });
  await assert.rejects(runBeside('qemu-io', '-r', '-f', 'raw', '-c', 'read 12M 4k', server.uri), /Input\/output error/);
});

test('a client that goes away in the middle harms nobody', async () => {
  const source = syntheticSource({ sizeBytes: GiB, zeroFrom: GiB });
  await using scratch = await scratchDirectory();
  await using server = await serveNbd({
    exports: [{ name: 'x', description: '', source }],
    listen: { socketPath: scratch.path('s') },
  });
  for (let round = 0; round < 5; round += 1) {
    const child = spawn('qemu-io', ['-r', '-f', 'raw', '-c', 'read 0 900M', server.uri], { stdio: 'ignore' });
    await delay(30 * round);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await using client = await openNbdClient({ address: server.address, exportName: 'x' });
  await client.read({ into: Buffer.alloc(MiB), offset: 5 * MiB });
});

test('random bytes at any moment end only their own connection', async () => {
  const source = syntheticSource({ sizeBytes: 64 * MiB, zeroFrom: MiB });
  await using scratch = await scratchDirectory();
  const socketPath = scratch.path('s');
  await using server = await serveNbd({ exports: [{ name: 'x', description: '', source }], listen: { socketPath } });
  const optionGo = Buffer.concat([
    Buffer.from('0000000349484156454f505400000007', 'hex'),
    Buffer.from('00000007000000017800 00'.replace(' ', ''), 'hex'),
  ]);
  for (let round = 0; round < 60; round += 1) {
    const socket = createConnection({ path: socketPath });
    socket.on('error', () => undefined).resume();
    if (round % 3 > 0) socket.write(optionGo);
    if (round % 3 === 2) socket.write(Buffer.concat([Buffer.from('25609513', 'hex'), randomBytes(24)]));
    socket.write(randomBytes(1 + ((round * 7919) % 9000)));
    socket.end();
    await once(socket, 'close');
  }
  await using client = await openNbdClient({ address: server.address, exportName: 'x' });
  await client.read({ into: Buffer.alloc(4 * KiB), offset: 0 });
});

test('a live socket is refused, a stale one replaced, another file left alone', async () => {
  await using scratch = await scratchDirectory();
  const exports = [{ name: '', description: '', source: syntheticSource({ sizeBytes: MiB, zeroFrom: 0 }) }];
  const socketPath = scratch.path('s');
  await using first = await serveNbd({ exports, listen: { socketPath } });
  await assert.rejects(serveNbd({ exports, listen: { socketPath } }), (error) => hasCode(error, 'address_in_use'));
  await first[Symbol.asyncDispose]();
  const program = `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 9))`;
  spawnSync(process.execPath, ['-e', program]);
  await using second = await serveNbd({ exports, listen: { socketPath } });
  await using client = await openNbdClient({ address: second.address, exportName: '' });
  assert.equal(client.export.sizeBytes, MiB);
  const file = scratch.path('file');
  await writeFile(file, 'x');
  await assert.rejects(serveNbd({ exports, listen: { socketPath: file } }), (error) =>
    hasCode(error, 'address_in_use'),
  );
  await assert.rejects(serveNbd({ exports, listen: { socketPath: scratch.path('no/s') } }), (error) =>
    hasCode(error, 'nbd_failed'),
  );
  await assert.rejects(serveNbd({ exports, listen: { host: '0.0.0.0', port: 0 } }), (error) => hasCode(error, 'usage'));
});

test('disposing or aborting hangs up on clients, whose reads fail', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  await writeFile(path, '');
  await truncate(path, GiB);
  await using source = await openFileSource({ path });
  const stop = new AbortController();
  await using server = await serveNbd({
    exports: [{ name: 'x', description: '', source }],
    listen: { socketPath: scratch.path('s') },
    signal: stop.signal,
  });
  await using client = await openNbdClient({ address: server.address, exportName: 'x' });
  const reading = client.read({ into: Buffer.alloc(512 * MiB), offset: 0 });
  stop.abort();
  await assert.rejects(reading, (error) => hasCode(error, 'nbd_failed'));
  await server[Symbol.asyncDispose]();
  await assert.rejects(openNbdClient({ address: server.address, exportName: 'x' }), (e) => hasCode(e, 'nbd_failed'));
});

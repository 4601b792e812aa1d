import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { hasCode, MiB, TiB } from '@holdfast/base';
import { exportImage } from '../../qemu/export-image.ts';
import { run, scratchDirectory } from '../../testing/scratch-directory.ts';
import { openNbdTarget } from '../nbd-target.ts';
import { openNbdClient } from './nbd-client.ts';

test('reads, writes, zeroes and flushes over several connections', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  const expected = randomBytes(48 * MiB);
  await writeFile(path, expected);
  await using image = await exportImage({ path, format: 'raw', writable: true });
  await using client = await openNbdClient({ ...image });
  assert.ok(client.connections >= 1);
  const whole = Buffer.alloc(expected.length);
  await client.read({ into: whole, offset: 0 });
  assert.ok(whole.equals(expected));
  await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const from = randomBytes(100_000 + index);
      const offset = index * MiB + 13 * index;
      from.copy(expected, offset);
      await client.write({ from, offset });
    }),
  );
  await client.write({ from: expected.subarray(1, 40 * MiB), offset: 1 });
  await client.writeZeroes({ offset: 44 * MiB + 1, length: 2 * MiB });
  expected.fill(0, 44 * MiB + 1, 46 * MiB + 1);
  await client.flush();
  await client.trim({ offset: 47 * MiB, length: 4096 });
  await client.read({ into: whole, offset: 0 });
  expected.copy(whole, 47 * MiB, 47 * MiB, 47 * MiB + 4096);
  assert.ok(whole.equals(expected));
  await client[Symbol.asyncDispose]();
  await image.close();
  assert.ok((await readFile(path)).subarray(0, 47 * MiB).equals(expected.subarray(0, 47 * MiB)));
});

test('blocks larger than a byte are kept to: reads are cut out, ragged writes refused', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  const content = randomBytes(8 * MiB);
  await writeFile(path, content);
  await using server = await qemuNbd(
    ['--image-opts', `driver=blkdebug,align=4096,image.driver=file,image.filename=${path}`],
    scratch.path('s'),
  );
  await using client = await openNbdClient({ address: server.address, exportName: '' });
  assert.equal(client.export.minBlockBytes, 4096);
  const into = Buffer.alloc(10_000);
  await client.read({ into, offset: 4095 });
  assert.ok(into.equals(content.subarray(4095, 14_095)));
  await assert.rejects(client.write({ from: into, offset: 0 }), (error) => hasCode(error, 'incompatible_target'));
});

test('a target over NBD must be writable and large enough', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  await writeFile(path, Buffer.alloc(MiB));
  {
    await using image = await exportImage({ path, format: 'raw', writable: false });
    await assert.rejects(openNbdTarget({ ...image, sizeBytes: MiB }), (error) => hasCode(error, 'target_unwritable'));
  }
  await using image = await exportImage({ path, format: 'raw', writable: true });
  await assert.rejects(openNbdTarget({ ...image, sizeBytes: MiB + 1 }), (error) => hasCode(error, 'target_too_small'));
  await assert.rejects(openNbdTarget({ ...image, exportName: 'none', sizeBytes: 1 }), (error) =>
    hasCode(error, 'target_unwritable'),
  );
  await using target = await openNbdTarget({ ...image, sizeBytes: 1000 });
  assert.equal(target.fresh, false);
});

test('a server that is killed in mid-read fails everything in flight', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  await writeFile(path, '');
  await truncate(path, 4 * TiB);
  await using image = await exportImage({ path, format: 'raw', writable: false });
  await using client = await openNbdClient({ ...image });
  const readForEver = async (lane: number): Promise<never> => {
    const into = Buffer.alloc(MiB);
    for (let turn = 0; ; turn += 1) await client.read({ into, offset: (16 * turn + lane) * MiB });
  };
  const lanes = Array.from({ length: 16 }, (_, lane) => readForEver(lane));
  setTimeout(() => process.kill(image.pid, 'SIGKILL'), 50);
  for (const { status, reason } of (await Promise.allSettled(lanes)) as PromiseRejectedResult[]) {
    assert.equal(status, 'rejected');
    assert.ok(hasCode(reason, 'nbd_failed'), String(reason));
  }
  await assert.rejects(client.read({ into: Buffer.alloc(1), offset: 0 }), (error) => hasCode(error, 'nbd_failed'));
});

test('an aborted read rejects at once, its buffer stays as it is, and the connection goes on', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  const content = randomBytes(64 * MiB);
  await writeFile(path, content);
  await using image = await exportImage({ path, format: 'raw', writable: false });
  await using client = await openNbdClient({ ...image, connections: 1 });
  for (let round = 0; round < 30; round += 1) {
    const stop = new AbortController();
    const into = Buffer.alloc(16 * MiB);
    const aborted = client.read({ into, offset: 0, signal: stop.signal });
    const other = Buffer.alloc(4 * MiB);
    const going = client.read({ into: other, offset: 3 });
    const reason = new Error(`round ${round}`);
    const outcome = aborted.then(
      () => ({ ended: 'read', before: Buffer.from(into) }),
      (error: unknown) => ({ ended: error, before: Buffer.from(into) }),
    );
    await delay(round % 8);
    stop.abort(reason);
    const { ended, before } = await outcome;
    assert.ok(ended === reason || (ended === 'read' && into.equals(content.subarray(0, into.length))));
    await going;
    assert.ok(other.equals(content.subarray(3, 3 + 4 * MiB)));
    assert.ok(into.equals(before), 'nothing is written into a buffer that was given back');
  }
});

test('a server that requires TLS is told apart', async (t) => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  await writeFile(path, Buffer.alloc(MiB));
  await mkdir(scratch.path('psk'));
  await writeFile(scratch.path('psk/keys.psk'), `user:${'0123456789abcdef'.repeat(4)}\n`);
  const tls = ['--object', `tls-creds-psk,id=t,endpoint=server,dir=${scratch.path('psk')}`, '--tls-creds', 't'];
  const port = 20_000 + (process.pid % 20_000);
  const child = spawn('qemu-nbd', [...tls, '-b', '127.0.0.1', '-p', String(port), '-t', '-f', 'raw', path]);
  try {
    const connect = () => openNbdClient({ address: { kind: 'tcp', host: '127.0.0.1', port }, exportName: '' });
    for (let tries = 0; tries < 100 && child.exitCode === null; tries += 1) {
      const refused = await connect().catch((error: unknown) => /ECONNREFUSED/.test(String(error)));
      if (refused !== true) break;
      await delay(50);
    }
    if (child.exitCode !== null) return t.skip('this qemu-nbd has no TLS');
    await assert.rejects(
      connect(),
      (error) => hasCode(error, 'nbd_failed') && /requires TLS/.test(error.message) && /unix socket/.test(error.remedy),
    );
  } finally {
    child.kill();
  }
});

test('what is no NBD server, or none at all, is named', async () => {
  await using scratch = await scratchDirectory();
  const address = { kind: 'unix', socketPath: scratch.path('s') } as const;
  await assert.rejects(openNbdClient({ address, exportName: '' }), (error) => hasCode(error, 'nbd_failed'));
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined).write('HTTP/1.1 400 Bad Request\r\n\r\n');
  }).listen(address.socketPath);
  await once(server, 'listening');
  await assert.rejects(openNbdClient({ address, exportName: '' }), (error) => /no NBD server/.test(String(error)));
  server.removeAllListeners('connection');
  server.on('connection', (socket) => sockets.push(socket));
  await assert.rejects(openNbdClient({ address, exportName: '', stallTimeoutMs: 100 }), (error) =>
    hasCode(error, 'nbd_failed'),
  );
  const signal = AbortSignal.timeout(50);
  await assert.rejects(openNbdClient({ address, exportName: '', signal }), { name: 'TimeoutError' });
  for (const socket of sockets) socket.destroy();
  server.close();
});

test('no qemu-storage-daemon outlives a parent that was killed', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('d.raw');
  await writeFile(path, Buffer.alloc(MiB));
  const program = `
    const { exportImage } = await import(${JSON.stringify(new URL('../../qemu/export-image.ts', import.meta.url).href)});
    const image = await exportImage({ path: ${JSON.stringify(path)}, format: 'raw', writable: false });
    console.log(image.pid);
    setInterval(() => undefined, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // What a killed parent leaves behind: an empty directory.
    env: { ...process.env, TMPDIR: scratch.path('.') },
  });
  const [output] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(output.toString());
  assert.match(await readFile(`/proc/${pid}/comm`, 'utf8'), /qemu-storage/);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  const isAlive = (): boolean => /^State:\s+[^ZX]/m.test(statusOf(pid));
  for (let tries = 0; tries < 50 && isAlive(); tries += 1) await delay(20);
  assert.equal(isAlive(), false);
});

function statusOf(pid: number): string {
  try {
    return execFileSync('cat', [`/proc/${pid}/status`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}

async function qemuNbd(args: readonly string[], socketPath: string) {
  const child = spawn('qemu-nbd', [...args, '-t', '-k', socketPath], { stdio: 'ignore' });
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      run('qemu-nbd', '-L', '-k', socketPath);
      break;
    } catch {
      await delay(20);
    }
  }
  return {
    address: { kind: 'unix', socketPath } as const,
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

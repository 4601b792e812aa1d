/**
 * How fast our NBD client reads from qemu-storage-daemon, by connections and requests in flight, beside the tools that
 * do the same. The figures behind NBD_CONCURRENCY and the number of connections.
 *
 *     node bench/nbd.ts [SIZE_MIB]
 */
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MiB, runLanes } from '@holdfast/base';
import { openFileSource } from '../packages/hypervisor/file/file-source.ts';
import { openNbdClient } from '../packages/hypervisor/nbd/client/nbd-client.ts';
import { serveNbd } from '../packages/hypervisor/nbd/server/serve-nbd.ts';
import { exportImage } from '../packages/hypervisor/qemu/export-image.ts';

const sizeBytes = Number(process.argv[2] ?? 1024) * MiB;
const readBytes = MiB;
const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
const path = join(directory, 'data.raw');

try {
  await fillFile();
  report('file, 8 reads', await measureFile());
  await using image = await exportImage({ path, format: 'raw', writable: false });
  for (const connections of [1, 2, 4]) {
    for (const lanes of [1, 4, 16, 32]) {
      await using client = await openNbdClient({ ...image, connections });
      const seconds = await timed((buffer, offset) => client.read({ into: buffer, offset }), lanes);
      report(`our client <- qemu-storage-daemon, ${connections} connections, ${lanes} in flight`, seconds);
    }
  }
  await using source = await openFileSource({ path });
  await using server = await serveNbd({
    exports: [{ name: 'disk', description: '', source }],
    listen: { socketPath: join(directory, 'own') },
  });
  {
    await using client = await openNbdClient({ address: server.address, exportName: 'disk' });
    report('our client <- our server (one process)', await timed((into, offset) => client.read({ into, offset }), 16));
  }
  const uri = `nbd+unix:///disk?socket=${image.address.kind === 'unix' ? image.address.socketPath : ''}`;
  peer('nbdcopy <- qemu-storage-daemon', 'nbdcopy', [uri, 'null:']);
  peer('qemu-img bench <- qemu-storage-daemon', 'qemu-img', [
    ...['bench', '-f', 'raw', '-c', String(sizeBytes / readBytes), '-d', '16', '-s', String(readBytes), uri],
  ]);
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function fillFile(): Promise<void> {
  await using handle = await open(path, 'w');
  const block = randomFillSync(Buffer.alloc(MiB));
  for (let at = 0; at < sizeBytes; at += block.length) {
    block.writeDoubleLE(at, 0);
    await handle.write(block);
  }
}

async function measureFile(): Promise<number> {
  await using source = await openFileSource({ path });
  return await timed((into, offset) => source.read({ into, offset }), source.concurrency);
}

/** Seconds to read everything once. */
async function timed(read: (into: Buffer, offset: number) => Promise<void>, lanes: number): Promise<number> {
  const buffers = Array.from({ length: lanes }, () => Buffer.alloc(readBytes));
  const startedMs = performance.now();
  await runLanes({ jobs: offsets(), lanes, run: (offset, lane) => read(buffers[lane]!, offset) });
  return (performance.now() - startedMs) / 1000;
}

function* offsets(): Generator<number> {
  for (let offset = 0; offset < sizeBytes; offset += readBytes) yield offset;
}

function peer(name: string, program: string, args: readonly string[]): void {
  const startedMs = performance.now();
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (error) console.log(`${name.padEnd(72)} not installed`);
  else if (status === 0) report(name, (performance.now() - startedMs) / 1000);
  else console.log(`${name.padEnd(72)} failed`);
}

function report(name: string, seconds: number): void {
  console.log(`${name.padEnd(72)} ${Math.round(sizeBytes / 1e6 / seconds)} MB/s`);
}

/** Writes into a disk of a running guest through its own QEMU: bitmaps note them as they note the guest's. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LibvirtHost } from '@holdfast/testing/guests';
import { run } from '../process/run.ts';

export type LiveWrite = { readonly offset: number; readonly bytes: Buffer };

/** @param options.disk its number among the guest's disks; nobody in the guest may be using it */
export async function writeLive(options: {
  readonly host: LibvirtHost;
  readonly guest: string;
  readonly disk: number;
  readonly writes: Iterable<LiveWrite> | AsyncIterable<LiveWrite>;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { host, guest, disk, writes, signal } = options;
  const pieces = join(host.directory, 'pieces');
  await mkdir(pieces);
  const device = `/machine/peripheral/virtio-disk${disk}/virtio-backend`;
  const commands: string[] = [];
  for await (const { offset, bytes } of writes) {
    const piece = join(pieces, String(commands.length));
    await writeFile(piece, bytes);
    const write = `write -s ${piece} ${offset} ${bytes.length}`;
    commands.push(`qemu-monitor-command ${guest} --hmp 'qemu-io -d ${device} "${write}"'\n`);
  }
  const said = await run({ command: ['virsh', '--quiet', '--connect', host.uri], input: commands.join(''), signal });
  // The monitor answers a write that worked with nothing, and one that did not with words of its own.
  const complaint = said.split('\n').find((line) => line.trim() !== '' && !line.startsWith('virsh #'));
  if (complaint !== undefined) throw new Error(`Writing into ${guest} failed: ${complaint}`);
  await rm(pieces, { recursive: true });
}

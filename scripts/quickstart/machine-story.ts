/**
 * The story of a running machine with two disks, whose writer is busy on both: take a snapshot, protect it while it runs, let its QEMU crash,
 * protect it again, bring every point back as a machine of its own, boot it, and prove that no record of the writer is
 * torn or missing and that the disks are of one moment. Real libvirt and QEMU, private to the story (root is needed).
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LibvirtHost, readJournals, startLibvirtHost, type TinyGuest } from '@holdfast/testing/guests';
import { holdfast, type HoldfastResult, pointOf } from './holdfast.ts';
import { mebibytes, type Step, timed } from './step.ts';

export type MachineStoryRequest = {
  readonly root: string;
  readonly storage: string;
  readonly tell: (step: Step) => void;
  readonly signal: AbortSignal;
};

const vm = 'demo';
/** Between two points, so that there is something to protect. */
const WRITING_MS = 1500;

export async function tellMachineStory(request: MachineStoryRequest): Promise<void> {
  const { signal } = request;
  await using host = await startLibvirtHost();
  // Disposing the host ends every machine, so an interrupt need not wait for one to boot.
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  await Promise.race([interrupted, tell(host, request)]);
}

async function tell(host: LibvirtHost, request: MachineStoryRequest): Promise<void> {
  const { tell: say } = request;
  const guest = await host.makeGuest({ name: vm, disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  const booting = await timed(() => guest.start());
  say({ title: 'boot a machine with two disks', seconds: booting.seconds, note: 'its writer is busy on both' });

  const snapshot = await command(host, request, ['snapshot', 'create', vm, 'before']);
  say({ title: 'holdfast vm snapshot create', seconds: snapshot.seconds, note: snapshotNote(snapshot) });

  const points: string[] = [];
  const protect = async (title: string): Promise<HoldfastResult> => {
    await sleep(WRITING_MS);
    const backup = await command(host, request, ['backup', vm, '--storage', request.storage]);
    points.push(pointOf(backup));
    say({ title, seconds: backup.seconds, note: backupNote(backup) });
    return backup;
  };
  requireKind(await protect('holdfast vm backup (full)'), 'full');
  requireKind(await protect('holdfast vm backup (increment)'), 'incremental');
  requireKind(await protect('holdfast vm backup (increment)'), 'incremental');

  await host.killQemu(vm);
  const again = await timed(() => startAgain(host, guest));
  say({ title: 'kill -9 its QEMU, start it again', seconds: again.seconds, note: 'the bitmaps are worth nothing now' });
  const fallen = await protect('holdfast vm backup (after the crash)');
  say({ title: '  it reads all again, and says why', note: fallbackReason(fallen) });
  await guest.destroy();

  let lastBefore = 0;
  for (const [index, point] of points.entries()) {
    lastBefore = await proveRestore({ host, request, point, name: `${vm}-${index + 1}`, lastBefore });
  }
}

async function startAgain(host: LibvirtHost, guest: TinyGuest): Promise<void> {
  while ((await host.virsh('domstate', vm)).trim() !== 'shut off') await sleep(50);
  await guest.start();
}

/** A command of the host itself. */
async function command(
  host: LibvirtHost,
  { root, signal }: MachineStoryRequest,
  words: readonly string[],
): Promise<HoldfastResult> {
  return await holdfast({
    root,
    args: ['vm', ...words, '--connect', host.uri],
    environment: { HOLDFAST_STATE_DIRECTORY: join(host.directory, 'state') },
    signal,
  });
}

/** Answers the number of the newest record. */
async function proveRestore(proof: {
  readonly host: LibvirtHost;
  readonly request: MachineStoryRequest;
  readonly point: string;
  readonly name: string;
  /** Of the point before. */
  readonly lastBefore: number;
}): Promise<number> {
  const { host, request, point, name, lastBefore } = proof;
  const { tell: say } = request;
  const directory = join(host.directory, name); // where QEMU may enter
  await mkdir(directory, { mode: 0o755 });
  const from = [point, '--storage', request.storage];
  const restored = await command(host, request, ['restore', ...from, '--as', name, '--directory', directory]);
  say({ title: `holdfast vm restore --as ${name}`, seconds: restored.seconds, note: point });
  const images = ['vda', 'vdb'].map((disk) => join(directory, `${name}-${disk}.qcow2`));
  const last = await requireWhole(images, lastBefore);
  const booting = await timed(async () => {
    await host.virsh('start', name);
    await host.waitForAgent(name);
  });
  await host.virsh('destroy', name);
  const afterBoot = await requireWhole(images, last);
  const note = `up; records 1 to ${last} whole on both disks, and it wrote on to ${afterBoot}`;
  say({ title: '  boot it, read its journals', seconds: booting.seconds, note });
  await host.virsh('undefine', name);
  await rm(directory, { recursive: true });
  return last;
}

/** @throws Error when a record is torn or missing, or when the disks are of two moments */
async function requireWhole(images: readonly string[], atLeast: number): Promise<number> {
  const [first, second] = await readJournals(images);
  if (!first || !second) throw new Error(`no journals in ${images.join(', ')}`);
  for (const { file, bad, gaps, first: number } of [first, second]) {
    if (bad > 0 || gaps > 0 || number !== 1) throw new Error(`${file}: ${bad} records torn, ${gaps} gaps`);
  }
  if (second.last !== first.last && second.last !== first.last - 1) {
    throw new Error(`the disks are of two moments: records to ${first.last} and to ${second.last}`);
  }
  if (first.last <= atLeast)
    throw new Error(`${first.file} ends at record ${first.last}, the point before at ${atLeast}`);
  return first.last;
}

function requireKind({ result }: HoldfastResult, kind: 'full' | 'incremental'): void {
  if (result['kind'] !== kind) throw new Error(`the backup was ${String(result['kind'])}, not ${kind}`);
}

function snapshotNote({ result }: HoldfastResult): string {
  const { disks, frozen_ms: frozen } = result['snapshot'] as Readonly<Record<string, unknown>>;
  if (!Array.isArray(disks) || disks.length !== 2) throw new Error('the snapshot is not of both disks');
  return `of both disks at one moment, ${quietNote(frozen)}`;
}

function quietNote(frozenMs: unknown): string {
  return frozenMs === null ? 'guest not frozen' : `guest frozen for ${Number(frozenMs)} ms`;
}

function backupNote({ result }: HoldfastResult): string {
  const { read_bytes: read, put_bytes: put, frozen_ms: frozen } = result;
  return `${mebibytes(Number(read))} read, ${mebibytes(Number(put))} stored, ${quietNote(frozen)}`;
}

/** @throws Error when it did not fall back */
function fallbackReason({ result }: HoldfastResult): string {
  const disks = result['disks'] as readonly { readonly name: string; readonly fallback_reason: string | null }[];
  const reasons = disks.map(({ name, fallback_reason: reason }) => {
    if (reason === null) throw new Error(`${name} was read by a bitmap that cannot be trusted`);
    return `${name}: ${reason}`;
  });
  return reasons.join(', ');
}

/** What machines there are: read only, so also over a remote connection. */
import { hasCode, HoldfastError, runLanes } from '@holdfast/base';
import { readBackingChain } from '../qemu/image-info.ts';
import { type DomainState, isActive, parseDomainStatus } from './domain-state.ts';
import { type AgentChannel, describeDomain } from './domain-xml/domain-description.ts';
import type { ChainImage, DomainDisk } from './domain-xml/disk.ts';
import type { DomainName } from './libvirt.ts';
import type { Outcome, Virsh } from './virsh.ts';

export type InventoryDisk = DomainDisk & {
  /** What the guest sees. Undefined for a drive without medium and for a disk that libvirt cannot look at. */
  readonly sizeBytes: number | undefined;
  /** What it takes on the host. */
  readonly allocatedBytes: number | undefined;
  /** Why size or chain are unknown. */
  readonly problem: string | undefined;
};

export type DomainInventory = DomainName & {
  readonly title: string | undefined;
  readonly state: DomainState;
  readonly stateReason: string;
  /** False for a machine that is gone when it ends. */
  readonly persistent: boolean;
  readonly disks: readonly InventoryDisk[];
  readonly agent: AgentChannel;
  readonly uefi: boolean;
  readonly emulatedTpm: string | undefined;
  readonly hostDevices: number;
};

/** A process for a machine, and one for each disk of a machine that is off: four at once keep two cores busy. */
const LANES = 4;

type InventoryOptions = {
  readonly virsh: Virsh;
  readonly names: readonly DomainName[];
  /** Only then can images be looked at. */
  readonly isLocal: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** In the order of `names`, without those that are gone. */
export async function takeInventory(options: InventoryOptions): Promise<readonly DomainInventory[]> {
  const { names, signal } = options;
  const found = new Map<string, DomainInventory>();
  await runLanes({
    jobs: names,
    lanes: LANES,
    signal,
    run: async (name) => {
      try {
        found.set(name.uuid, await lookAt(name, options));
      } catch (error) {
        if (!hasCode(error, 'vm_not_found')) throw error;
      }
    },
  });
  return names.flatMap(({ uuid }) => found.get(uuid) ?? []);
}

async function lookAt({ name, uuid }: DomainName, options: InventoryOptions): Promise<DomainInventory> {
  const { virsh, signal } = options;
  const doing = `look at ${name}`;
  const calls = [
    ['domstate', '--reason', uuid],
    ['dominfo', uuid],
    ['dumpxml', uuid],
    ['domblkinfo', uuid, '--all'],
  ];
  const [state, info, xml, sizesOfAll] = await virsh.runTogether(
    calls.map((args) => ({ args, doing })),
    { signal },
  );
  const status = parseDomainStatus(outputOf(state).trim());
  const { disks, title, agent, uefi, emulatedTpm, hostDevices } = describeDomain(outputOf(xml));
  const active = isActive(status.state);
  const sizes = sizesOfAll?.ok ? parseSizes(sizesOfAll.output) : await readSizes({ virsh, uuid, disks, doing, signal });
  return {
    name,
    uuid,
    title,
    state: status.state,
    stateReason: status.reason,
    persistent: /^Persistent:\s+yes\s*$/m.test(outputOf(info)),
    disks: await Promise.all(
      disks.map((disk) => addImage({ disk, size: sizes.get(disk.target), look: options.isLocal && !active, signal })),
    ),
    agent,
    uefi,
    emulatedTpm,
    hostDevices,
  };
}

function outputOf(outcome: Outcome | undefined): string {
  if (outcome?.ok) return outcome.output;
  throw outcome?.error ?? new HoldfastError('internal', 'virsh.runTogether lost an outcome');
}

type DiskSize = { readonly sizeBytes?: number; readonly allocatedBytes?: number; readonly problem?: string };

/** Each disk by itself, for when one of them cannot be looked at, which fails the call for all. */
async function readSizes(request: {
  readonly virsh: Virsh;
  readonly uuid: string;
  readonly disks: readonly DomainDisk[];
  readonly doing: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<ReadonlyMap<string, DiskSize>> {
  const { virsh, uuid, disks, doing, signal } = request;
  const sizes = new Map<string, DiskSize>();
  for (const { target, source } of disks) {
    if (source.kind === 'none') continue;
    try {
      const output = await virsh.run({ args: ['domblkinfo', uuid, target], doing, signal });
      sizes.set(target, parseSize(output));
    } catch (error) {
      if (!isAboutOneDisk(error)) throw error;
      sizes.set(target, { problem: error.message });
    }
  }
  return sizes;
}

function isAboutOneDisk(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && !hasCode(error, 'vm_not_found', 'libvirt_unreachable', 'libvirt_denied');
}

/** ` vda   67108864   3461120   4194304`: capacity, allocation, size of the file; `-` where there is no medium. */
export function parseSizes(output: string): ReadonlyMap<string, DiskSize> {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return new Map(
    lines.map((line) => {
      const [target = '', capacity, allocation] = line.trim().split(/\s+/);
      return [target, sizeOf(capacity, allocation)];
    }),
  );
}

/** `Capacity:       67108864` and so on. */
function parseSize(output: string): DiskSize {
  const value = (name: string): string | undefined => new RegExp(`^${name}:\\s+(\\d+)\\s*$`, 'm').exec(output)?.[1];
  return sizeOf(value('Capacity'), value('Allocation'));
}

function sizeOf(capacity: string | undefined, allocation: string | undefined): DiskSize {
  const [sizeBytes, allocatedBytes] = [Number(capacity), Number(allocation)];
  return {
    ...(Number.isSafeInteger(sizeBytes) && { sizeBytes }),
    ...(Number.isSafeInteger(allocatedBytes) && { allocatedBytes }),
  };
}

/** The definition of a machine that is off rarely tells the chain of a disk, so the image itself is asked. */
async function addImage(request: {
  readonly disk: DomainDisk;
  readonly size: DiskSize | undefined;
  readonly look: boolean;
  readonly signal?: AbortSignal | undefined;
}): Promise<InventoryDisk> {
  const { disk, look, signal } = request;
  const { sizeBytes, allocatedBytes, problem } = request.size ?? {};
  const known = { ...disk, sizeBytes, allocatedBytes, problem };
  const { source, format } = disk;
  if (disk.backing || format === undefined) return known;
  if (format === 'raw' && source.kind !== 'none') return { ...known, backing: [] };
  if (!look || problem !== undefined || (source.kind !== 'file' && source.kind !== 'block')) return known;
  try {
    const images = await readBackingChain({ path: source.path, format, signal });
    const backing = images.map(({ name, format: of }): ChainImage => ({ source: imageSource(name), format: of }));
    return { ...known, backing };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { ...known, problem: error.message };
  }
}

/** Of an image that qemu-img names. */
export function imageSource(name: string): ChainImage['source'] {
  if (name.startsWith('/dev/')) return { kind: 'block', path: name };
  return name.startsWith('/') ? { kind: 'file', path: name } : { kind: 'other', name };
}

/** The storage pools of a libvirt: where disks of machines can lie. */
import { isAbsolute } from 'node:path';
import { HoldfastError, hasCode } from '@holdfast/base';
import { attribute, elementAt, parseRoot, textOf } from './domain-xml/document.ts';
import type { Virsh } from './virsh.ts';

export type StoragePool = {
  readonly name: string;
  /** `dir`, `logical`, `rbd` and so on. */
  readonly type: string;
  readonly active: boolean;
  /** Directory or volume group on the host; undefined where the pool has none, such as `rbd`. */
  readonly path: string | undefined;
  /** 0 while it is inactive. */
  readonly sizeBytes: number;
  readonly availableBytes: number;
};

type PoolsOptions = { readonly virsh: Virsh; readonly signal?: AbortSignal | undefined };

/** None also where libvirt came without its storage driver. */
export async function listStoragePools(options: PoolsOptions): Promise<readonly StoragePool[]> {
  try {
    return await readPools(options);
  } catch (error) {
    if (hasCode(error, 'vm_unsupported')) return [];
    throw error;
  }
}

async function readPools(options: PoolsOptions): Promise<readonly StoragePool[]> {
  const { virsh, signal } = options;
  const doing = 'list the storage pools';
  const namesOf = async (...args: readonly string[]): Promise<readonly string[]> => {
    const output = await virsh.run({ args: ['pool-list', '--name', ...args], doing, signal });
    return output
      .split('\n')
      .map((name) => name.trim())
      .filter((name) => name !== '');
  };
  const active = await namesOf();
  const pools: StoragePool[] = [];
  for (const name of await namesOf('--all')) {
    const xml = await virsh.run({ args: ['pool-dumpxml', '--pool', name], doing, signal });
    pools.push({ ...describePool(xml), active: active.includes(name) });
  }
  return pools;
}

/** Where a volume lies on the host; undefined for one that is no file or device there. @throws libvirt_failed */
export async function volumePath(
  request: { readonly pool: string; readonly volume: string } & PoolsOptions,
): Promise<string | undefined> {
  const { virsh, pool, volume, signal } = request;
  const doing = `find the volume ${volume} in the pool ${pool}`;
  const output = await virsh.run({ args: ['vol-path', '--pool', pool, '--vol', volume], doing, signal });
  // Names may end with a space.
  const path = output.replace(/\n+$/, '');
  return isAbsolute(path) ? path : undefined;
}

function describePool(xml: string): Omit<StoragePool, 'active'> {
  const pool = parseRoot(xml);
  const [name, type] = [textOf(elementAt(pool, 'name')), attribute(pool, 'type')];
  if (name === undefined || type === undefined) {
    throw new HoldfastError('libvirt_failed', 'the XML of a storage pool lacks its name or type');
  }
  // libvirt writes both in bytes.
  const bytes = (of: string): number => Number(textOf(elementAt(pool, of)) ?? 0);
  return {
    name,
    type,
    path: textOf(elementAt(pool, 'target', 'path')),
    sizeBytes: bytes('capacity'),
    availableBytes: bytes('available'),
  };
}

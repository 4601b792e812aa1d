/**
 * What a machine keeps on its host beside its disks: UEFI variables (with the keys of Secure Boot) and the state of an
 * emulated TPM (with the keys of BitLocker, which opens nothing without them).
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, MiB, systemErrorCode } from '@holdfast/base';
import type { DomainDescription } from './domain-xml/domain-description.ts';

export type GuestStateFile = {
  /** `nvram`, or `tpm/tpm2/tpm2-00.permall`: below the machine's own TPM directory. */
  readonly name: string;
  readonly bytes: Buffer;
};

/** libvirt's own on a host. */
export const LIBVIRT_STATE_DIRECTORY = '/var/lib/libvirt';

/** Of all files together: UEFI variables have 540 KiB, a TPM 6 to 100 KiB. */
const LIMIT_BYTES = 16 * MiB;

/**
 * Empty for a machine that has neither, or that has never been started: both are made at the first start. Read while the
 * machine runs, the state is what a crash would leave.
 * @throws vm_state_too_large, source_unreadable
 */
export async function captureGuestState(options: {
  readonly domain: Pick<DomainDescription, 'uuid' | 'nvramPath' | 'emulatedTpm'>;
  readonly stateDirectory?: string;
  readonly limitBytes?: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly GuestStateFile[]> {
  const { domain, stateDirectory = LIBVIRT_STATE_DIRECTORY, limitBytes = LIMIT_BYTES, signal } = options;
  const places: { name: string; path: string }[] = [];
  if (domain.nvramPath !== undefined) places.push({ name: 'nvram', path: domain.nvramPath });
  if (domain.emulatedTpm !== undefined && domain.uuid !== undefined) {
    places.push(...(await tpmFiles(join(stateDirectory, 'swtpm', domain.uuid))));
  }
  const files: GuestStateFile[] = [];
  let left = limitBytes;
  for (const { name, path } of places) {
    signal?.throwIfAborted();
    const bytes = await readAtMost(path, left);
    if (!bytes) continue;
    left -= bytes.length;
    files.push({ name, bytes });
  }
  return files;
}

async function tpmFiles(directory: string): Promise<{ name: string; path: string }[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && entry.name !== '.lock')
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
      .map((path) => ({ name: `tpm${path.slice(directory.length)}`, path }));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw unreadable(directory, error);
  }
}

/** Undefined when there is no such file. */
async function readAtMost(path: string, limitBytes: number): Promise<Buffer | undefined> {
  try {
    await using handle = await open(path, 'r');
    const { size } = await handle.stat();
    if (size > limitBytes) {
      const facts = { path, size_bytes: size, limit_bytes: limitBytes };
      throw new HoldfastError('vm_state_too_large', `${path} has ${size} bytes`, { facts });
    }
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): HoldfastError {
  return new HoldfastError('source_unreadable', `${path} cannot be read`, { cause, remedy: 'Run as root.' });
}

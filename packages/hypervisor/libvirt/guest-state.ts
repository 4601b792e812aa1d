/**
 * What a machine keeps on its host beside its disks: UEFI variables (with the keys of Secure Boot) and the state of an
 * emulated TPM (with the keys of BitLocker, which opens nothing without them).
 */
import { chmod, open, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HoldfastError, makeDirectories, MiB, systemErrorCode } from '@holdfast/base';
import type { DomainDescription } from './domain-xml/domain-description.ts';

export type GuestStateFile = {
  /** `nvram`, or `tpm/tpm2/tpm2-00.permall`: below the machine's own TPM directory. */
  readonly name: string;
  readonly bytes: Buffer;
};

export type GuestStateOwner = Pick<DomainDescription, 'name' | 'uuid' | 'uefi' | 'nvramPath' | 'emulatedTpm'>;

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
  readonly domain: GuestStateOwner;
  readonly stateDirectory?: string;
  readonly limitBytes?: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly GuestStateFile[]> {
  const { domain, stateDirectory = LIBVIRT_STATE_DIRECTORY, limitBytes = LIMIT_BYTES, signal } = options;
  const places: { name: string; path: string }[] = [];
  const { nvram, tpm } = guestStatePlaces({ domain, stateDirectory });
  if (nvram !== undefined) places.push({ name: 'nvram', path: nvram });
  if (tpm !== undefined) places.push(...(await tpmFiles(tpm)));
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

/**
 * Puts captured state in the place of a machine that is defined and has never been started, so that its first start takes
 * it as its own. libvirt then hands the files to QEMU's and swtpm's users.
 * @throws target_exists (nothing is replaced), target_unwritable, incompatible_target for state that it has no place for
 */
export async function placeGuestState(options: {
  readonly domain: GuestStateOwner;
  readonly files: readonly GuestStateFile[];
  readonly stateDirectory?: string;
}): Promise<void> {
  const { domain, files, stateDirectory = LIBVIRT_STATE_DIRECTORY } = options;
  for (const { name, bytes } of files) {
    const path = placeOf(name, domain, stateDirectory);
    if (path === undefined) {
      throw new HoldfastError('incompatible_target', `${domain.name} has no place for ${JSON.stringify(name)}`);
    }
    try {
      await makeDirectories(dirname(path));
      if (name !== 'nvram') await openTheWay(path, join(stateDirectory, 'swtpm'));
      await writeFile(path, bytes, { flag: 'wx', mode: 0o600, flush: true });
    } catch (error) {
      const code = systemErrorCode(error) === 'EEXIST' ? 'target_exists' : 'target_unwritable';
      throw new HoldfastError(code, `${path} cannot be made`, { cause: error });
    }
  }
}

/** swtpm is no root, and passes through the directories above its own. */
async function openTheWay(path: string, top: string): Promise<void> {
  for (let at = dirname(dirname(path)); at.startsWith(top); at = dirname(at)) await chmod(at, 0o711);
}

/** Where the machine has its UEFI variables, and the directory of its TPM's state; undefined for what it has not. */
export function guestStatePlaces(options: { readonly domain: GuestStateOwner; readonly stateDirectory?: string }): {
  readonly nvram: string | undefined;
  readonly tpm: string | undefined;
} {
  const { domain, stateDirectory = LIBVIRT_STATE_DIRECTORY } = options;
  return { nvram: nvramFile(domain, stateDirectory), tpm: tpmDirectory(domain, stateDirectory) };
}

function placeOf(name: string, domain: GuestStateOwner, stateDirectory: string): string | undefined {
  const { nvram, tpm } = guestStatePlaces({ domain, stateDirectory });
  if (name === 'nvram') return nvram;
  // The name comes out of a restore point, from outside.
  const inside = /^tpm((?:\/[\w-][\w.-]*)+)$/.exec(name)?.[1];
  return tpm === undefined || inside === undefined ? undefined : join(tpm, inside);
}

/** Where libvirt puts it when the definition does not say. */
function nvramFile({ name, uefi, nvramPath }: GuestStateOwner, stateDirectory: string): string | undefined {
  return nvramPath ?? (uefi ? join(stateDirectory, 'qemu/nvram', `${name}_VARS.fd`) : undefined);
}

function tpmDirectory({ uuid, emulatedTpm }: GuestStateOwner, stateDirectory: string): string | undefined {
  return emulatedTpm === undefined || uuid === undefined ? undefined : join(stateDirectory, 'swtpm', uuid);
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

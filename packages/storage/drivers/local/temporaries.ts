/**
 * The reserved folder `.tmp` of a local store: objects are written here and moved to their key when whole. No key has a
 * segment that begins with a dot, so nothing in it can be listed or read as an object.
 *
 * A writer that was killed leaves its file behind. `sweepTemporaries` removes it once its maker is known to be dead, or,
 * when the maker lives on another host or in another container, once it has not been written for a week by the file
 * server's own clock. Should that ever hit a live writer, its put fails and is tried again; no object is harmed.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { livenessOf, ownIdentity, type ProcessIdentity } from './process-identity.ts';
import type { StoreRoot } from './store-root.ts';

export const temporaryFolder = '.tmp';

const abandonedAfterMs = 7 * 24 * 3600 * 1000;

let own: ProcessIdentity | undefined;

/** A new name, unique among all processes and threads. */
export function newTemporaryName(): string {
  own ??= ownIdentity();
  // Random, not counted: worker threads share the pid.
  return [own.host, own.boot, own.pidNamespace, own.pid, own.started, randomBytes(6).toString('hex')].join('.');
}

/** Removes what dead writers left behind; never fails, since nothing depends on it. */
export async function sweepTemporaries(root: StoreRoot): Promise<{ readonly removed: number }> {
  const folder = join(root.directory, temporaryFolder);
  const names = await readdir(folder).catch((): string[] => []);
  let removed = 0;
  let serverNowMs: number | undefined;
  own ??= ownIdentity();
  for (const name of names) {
    const maker = parseName(name);
    const liveness = maker === undefined ? 'unknown' : await livenessOf(maker, own);
    if (liveness === 'alive') continue;
    if (liveness === 'unknown') {
      serverNowMs ??= await readServerClock(folder);
      const writtenMs = (await stat(join(folder, name)).catch(() => undefined))?.mtimeMs;
      if (writtenMs === undefined || serverNowMs - writtenMs < abandonedAfterMs) continue;
    }
    removed += await unlink(join(folder, name)).then(
      () => 1,
      () => 0,
    );
  }
  return { removed };
}

function parseName(name: string): ProcessIdentity | undefined {
  const [host, boot, pidNamespace, pid, started, random, ...rest] = name.split('.');
  if (!host || !boot || !pidNamespace || !started || !random || rest.length > 0) return undefined;
  return /^[1-9]\d{0,9}$/.test(pid ?? '') ? { host, boot, pidNamespace, pid: Number(pid), started } : undefined;
}

/** The file server's clock, from a file made there; minus infinity (nothing is old) where none can be made. */
async function readServerClock(folder: string): Promise<number> {
  const path = join(folder, newTemporaryName());
  try {
    await writeFile(path, '', { flag: 'wx', mode: 0o600 });
    return (await stat(path)).mtimeMs;
  } catch {
    return Number.NEGATIVE_INFINITY;
  } finally {
    await rm(path, { force: true }).catch(() => undefined);
  }
}

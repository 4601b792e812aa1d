/** A new volume from a snapshot of an image, or from a layer, also while a virtual machine runs on them. */
import { link, open, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HoldfastError, hasCode } from '@holdfast/base';
import { targetFileError } from '../file/file-errors.ts';
import { FINISHED_MODE } from '../file/unfinished.ts';
import type { ImageFormat } from '../image-format.ts';
import { type Qcow2Snapshot, readQcow2Snapshots, readQcow2Tables } from '../qcow2/read-snapshots.ts';
import { readImageInfo } from '../qemu/image-info.ts';
import { isWrittenByQemu } from '../qemu/image-lock.ts';
import { qcow2Options } from '../qemu/image-options.ts';
import { qemuImgLines, runQemuImg } from '../qemu/qemu-img.ts';
import { findSnapshot } from './snapshot-name.ts';

type CloneTarget = {
  readonly target: { readonly path: string; readonly format: ImageFormat };
  /** Of the disk, holes and all. */
  readonly onProgress?: ((progress: { readonly doneBytes: number; readonly totalBytes: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type CloneRequest = CloneTarget & {
  readonly path: string;
  /** Name or id. */
  readonly snapshot: string;
};

/**
 * The new image is sparse, stands alone (no backing file), and appears under its name when it is whole and durable; until
 * then it is at `unfinishedPath`, where after a kill -9 the next clone takes its place. The image's lock is not taken:
 * clusters of a snapshot do not change as long as the snapshot is there, which is looked at again at the end.
 * @throws snapshot_not_found, snapshot_ambiguous, target_exists, target_full, target_unwritable, source_changed when the
 *   snapshot was deleted meanwhile, image_unsupported, image_damaged, source_not_found, source_unreadable, qemu_failed
 */
export async function cloneSnapshot(request: CloneRequest): Promise<Qcow2Snapshot> {
  const { path, signal } = request;
  const image = await readQcow2Snapshots({ path, signal });
  const snapshot = findSnapshot(image.snapshots, request.snapshot, path);
  refuseCutOff({ path, snapshot, sizeBytes: image.sizeBytes });
  await clone(request, {
    name: `the snapshot ${snapshot.name} of ${path}`,
    words: ['-l', `snapshot.id=${snapshot.id}`, '--image-opts', await qcow2Options({ path, locking: 'off' })],
    sizeBytes: snapshot.sizeBytes,
    confirm: async () => await refuseUnlessStill({ path, snapshot, signal }),
  });
  return snapshot;
}

/**
 * The same from an image that lies below an overlay and is not written to, with what lies below it. QEMU's lock keeps others
 * from committing into it meanwhile.
 * @throws as cloneSnapshot; source_unreadable while something is committed into it
 */
export async function cloneLayer(request: CloneTarget & { readonly path: string }): Promise<void> {
  const { path } = request;
  const { sizeBytes } = await readQcow2Tables({ path });
  const words = ['--image-opts', await qcow2Options({ path, locking: 'auto' })];
  await clone(request, { name: path, words, sizeBytes, confirm: () => Promise.resolve() });
}

type CloneSource = {
  /** For messages. */
  readonly name: string;
  /** For `qemu-img convert`. */
  readonly words: readonly string[];
  readonly sizeBytes: number;
  /** Called when everything was read. */
  readonly confirm: () => Promise<void>;
};

async function clone(request: CloneTarget, source: CloneSource): Promise<void> {
  const { target } = request;
  await refuseExisting(target.path);
  const unfinished = unfinishedPath(target.path);
  await createFile(unfinished);
  try {
    await convert(request, source, unfinished);
    await source.confirm();
    await flush(unfinished);
    await publish(unfinished, target.path);
  } finally {
    await unlink(unfinished).catch(() => undefined);
  }
}

/** QEMU reads a snapshot as large as the disk is now: of one that was larger it leaves the end out without a word. */
function refuseCutOff(image: {
  readonly path: string;
  readonly snapshot: Qcow2Snapshot;
  readonly sizeBytes: number;
}): void {
  const { path, snapshot, sizeBytes } = image;
  if (snapshot.sizeBytes <= sizeBytes) return;
  const detail = `${path} has shrunk from ${snapshot.sizeBytes} to ${sizeBytes} bytes since the snapshot ${snapshot.name}`;
  throw new HoldfastError('image_unsupported', detail, {
    remedy: `Make it large again first: qemu-img resize ${path} ${snapshot.sizeBytes}, or virsh blockresize while its machine runs.`,
    facts: { path, size_bytes: sizeBytes, snapshot_size_bytes: snapshot.sizeBytes },
  });
}

async function refuseExisting(path: string): Promise<void> {
  try {
    await stat(path);
  } catch {
    return;
  }
  throw exists(path);
}

function exists(path: string): HoldfastError {
  return new HoldfastError('target_exists', `${path} exists already`, {
    remedy: 'Choose another path.',
    facts: { path },
  });
}

/** Where a clone is until it is whole: `.NAME.unfinished` beside it. */
export function unfinishedPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.unfinished`);
}

/** In place of what a clone that was killed has left. */
async function createFile(path: string): Promise<void> {
  try {
    const left = await stat(path, { bigint: true }).catch(() => undefined);
    if (left && !(await isWrittenByQemu(left))) await unlink(path);
    await (await open(path, 'wx', FINISHED_MODE)).close();
  } catch (error) {
    throw targetFileError(path, error);
  }
}

async function convert(request: CloneTarget, source: CloneSource, unfinished: string): Promise<void> {
  const { target, onProgress, signal } = request;
  const { sizeBytes } = source;
  const { format } = target;
  const doing = `copy ${source.name} to ${target.path}`;
  const args = ['convert', '-p', ...source.words, '-O', format, `file:${unfinished}`];
  for await (const line of qemuImgLines({ args, doing, role: 'target', signal })) {
    const percent = /\((\d+\.\d+)\/100%\)/.exec(line)?.[1];
    if (percent === undefined) continue;
    onProgress?.({ doneBytes: Math.floor((sizeBytes * Number(percent)) / 100), totalBytes: sizeBytes });
  }
  const { virtualSizeBytes } = await readImageInfo({ path: unfinished, format, role: 'target', signal });
  if (virtualSizeBytes === sizeBytes) return;
  // The disk has grown since: what lies beyond its old end is not of the snapshot.
  const resize = ['resize', '-q', '--shrink', '-f', format, `file:${unfinished}`, String(sizeBytes)];
  await runQemuImg({ args: resize, doing, role: 'target', signal });
}

async function refuseUnlessStill(options: {
  readonly path: string;
  readonly snapshot: Qcow2Snapshot;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { path, snapshot, signal } = options;
  const { snapshots } = await readQcow2Snapshots({ path, signal });
  const isStill = snapshots.some(({ id, name, takenAtMs }) => {
    return id === snapshot.id && name === snapshot.name && takenAtMs === snapshot.takenAtMs;
  });
  if (isStill) return;
  throw new HoldfastError('source_changed', `the snapshot ${snapshot.name} of ${path} was deleted while it was read`);
}

async function flush(path: string): Promise<void> {
  try {
    await using handle = await open(path, 'r+');
    await handle.sync();
  } catch (error) {
    throw targetFileError(path, error);
  }
}

/** Never takes the place of another file. */
async function publish(unfinished: string, path: string): Promise<void> {
  try {
    await link(unfinished, path);
    await using directory = await open(dirname(path), 'r');
    await directory.sync();
  } catch (error) {
    const reason = targetFileError(path, error);
    throw hasCode(reason, 'target_exists') ? exists(path) : reason;
  }
}

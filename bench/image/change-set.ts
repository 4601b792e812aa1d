/** A planned change with its content on disk: applied to raw images by us, to qcow2 images by qemu-io. */
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Extent } from '@holdfast/base';
import { copyRange } from './assemble.ts';
import type { ChangePattern, PlannedWrite } from './change-plan.ts';
import { joined } from './extents.ts';
import { createKeystream } from './keystream.ts';
import { logText } from './log-text.ts';

export type ChangeSet = {
  readonly pattern: ChangePattern;
  readonly writes: readonly PlannedWrite[];
  /** The new content of all writes, one after the other in their order. */
  readonly contentPath: string;
  /** The same places as JSON `[{"offset","length"}]`, touching ones joined: what `--changed` reads. */
  readonly extentsPath: string;
  readonly extents: readonly Extent[];
};

/** Where the files of a change set are in `dir`; writes nothing. */
export function changeSetIn(options: {
  readonly dir: string;
  readonly pattern: ChangePattern;
  readonly writes: readonly PlannedWrite[];
}): ChangeSet {
  const { dir, pattern, writes } = options;
  const extents = joined(writes.map(({ offset, length }) => ({ offset, length })));
  const path = (suffix: string): string => join(dir, `${pattern}.${suffix}`);
  return { pattern, writes, contentPath: path('content'), extentsPath: path('extents.json'), extents };
}

export async function writeChangeSet(options: { readonly set: ChangeSet; readonly seed: string }): Promise<void> {
  const { set, seed } = options;
  const keystream = createKeystream(`${seed} content ${set.pattern}`);
  const parts = set.writes.map(({ content, length }) =>
    content === 'random' ? keystream.bytes(length) : logText({ keystream, sizeBytes: length }),
  );
  await writeFile(set.contentPath, parts);
  await writeFile(set.extentsPath, JSON.stringify(set.extents));
}

/** Writes the new content into a raw image, in place. */
export async function applyToRaw(options: {
  readonly set: ChangeSet;
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { set, path, signal } = options;
  await using source = await open(set.contentPath, 'r');
  await using target = await open(path, 'r+');
  let from = 0;
  for (const { offset, length } of set.writes) {
    await copyRange({ source, target, from, to: offset, length, signal });
    from += length;
  }
}

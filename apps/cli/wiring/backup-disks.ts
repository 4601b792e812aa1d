/** Opens the disks of a backup, each with what is known about its changes. */
import { type BlockSource, hasCode } from '@holdfast/base';
import type { BackupDisk } from '@holdfast/engine';
import { type ImageFormat, type OpenedSource, openBlockSource, parseBlockLocation } from '@holdfast/hypervisor';
import type { Context } from '../command/invocation.ts';
import { readChangedExtents } from './changed-extents.ts';
import type { SelectedDisk } from './disk-selection.ts';

export interface OpenedDisks extends AsyncDisposable {
  readonly disks: readonly BackupDisk[];
}

/**
 * Begins to open the disks: qemu starts while the caller loads and opens the rest. Disposing waits for them and closes
 * what was opened, whether anybody asked for it or not.
 */
export function startOpeningBackupDisks(
  options: Parameters<typeof openBackupDisks>[0],
): AsyncDisposable & { readonly opened: Promise<OpenedDisks> } {
  const opened = openBackupDisks(options);
  // It may fail before anybody waits for it; whoever does is told.
  opened.catch(() => undefined);
  return {
    opened,
    [Symbol.asyncDispose]: async () => {
      const disks = await opened.catch(() => undefined);
      await disks?.[Symbol.asyncDispose]();
    },
  };
}

/** @throws source errors, changed_extents_invalid; none of the disks is left open then */
export async function openBackupDisks(options: {
  readonly selected: readonly SelectedDisk[];
  readonly format: ImageFormat | undefined;
  readonly context: Context;
}): Promise<OpenedDisks> {
  await using stack = new AsyncDisposableStack();
  const disks: BackupDisk[] = [];
  for (const selected of options.selected) {
    const disk = await openDisk({ ...options, selected });
    stack.use<BlockSource>(disk.source);
    disks.push(disk);
  }
  const sources = stack.move();
  return { disks, [Symbol.asyncDispose]: () => sources.disposeAsync() };
}

type DiskRequest = {
  readonly selected: SelectedDisk;
  readonly format: ImageFormat | undefined;
  readonly context: Context;
};

async function openDisk({ selected, format, context }: DiskRequest): Promise<BackupDisk> {
  const { signal } = context;
  const { name, changes } = selected;
  const location = parseBlockLocation(selected.source);
  switch (changes.kind) {
    case 'unknown':
      return describe(name, await openBlockSource({ location, format, signal }));
    case 'file': {
      const source = await openBlockSource({ location, format, signal });
      try {
        const { sizeBytes: diskBytes } = source;
        return {
          ...describe(name, source),
          changed: await readChangedExtents({ file: changes.file, diskBytes, signal }),
        };
      } catch (error) {
        await source[Symbol.asyncDispose]();
        throw error;
      }
    }
    case 'bitmap': {
      const { bitmap } = changes;
      try {
        const source = await openBlockSource({ location, format, bitmap, signal });
        return { ...describe(name, source), bitmap, changed: source.changed?.({ signal }) };
      } catch (error) {
        // Semantics: an increment that cannot be one is a full read with a reason, not a failure.
        if (!hasCode(error, 'bitmap_not_found', 'bitmap_inconsistent')) throw error;
        context.output.warn(`${error.message}; all of disk ${name} is read.`);
        const source = await openBlockSource({ location, format, signal });
        return { ...describe(name, source), fallbackReason: error.code };
      }
    }
    default:
      return changes satisfies never;
  }
}

function describe(name: string, source: OpenedSource): BackupDisk {
  return { name, source, confirm: source.confirmUnchanged && (async () => await source.confirmUnchanged?.()) };
}

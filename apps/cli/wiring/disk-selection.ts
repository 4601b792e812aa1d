/** Which disks a backup reads, and how each one's changes are known: from the words of the command line. */
import { HoldfastError } from '@holdfast/base';
import { splitDiskValue } from './parse-values.ts';

export type ChangeSource =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'bitmap'; readonly bitmap: string }
  | { readonly kind: 'file'; readonly file: string };

export type SelectedDisk = { readonly name: string; readonly source: string; readonly changes: ChangeSource };

export type DiskWords = {
  readonly source: string | undefined;
  /** `vda=SOURCE`. */
  readonly disks: readonly string[];
  /** `vda=NAME`, or the name alone with a bare source. */
  readonly bitmaps: readonly string[];
  readonly changed: readonly string[];
};

const bareDisk = 'vda';

/** @throws usage */
export function selectDisks(words: DiskWords): readonly SelectedDisk[] {
  const sources = sourcesOf(words);
  const bitmaps = valuesByDisk('--bitmap', words.bitmaps, words.source !== undefined);
  const files = valuesByDisk('--changed', words.changed, words.source !== undefined);
  for (const [option, values] of [
    ['--bitmap', bitmaps],
    ['--changed', files],
  ] as const) {
    for (const disk of values.keys()) {
      if (!sources.has(disk)) throw usage(`${option} names disk ${disk}, which is not backed up.`);
    }
  }
  return [...sources].map(([name, source]) => {
    const bitmap = bitmaps.get(name);
    const file = files.get(name);
    if (bitmap !== undefined && file !== undefined) throw usage(`Disk ${name} has both --bitmap and --changed.`);
    return { name, source, changes: changeSource(bitmap, file) };
  });
}

function changeSource(bitmap: string | undefined, file: string | undefined): ChangeSource {
  if (bitmap !== undefined) return { kind: 'bitmap', bitmap };
  return file === undefined ? { kind: 'unknown' } : { kind: 'file', file };
}

function sourcesOf({ source, disks }: DiskWords): ReadonlyMap<string, string> {
  if (source !== undefined && disks.length > 0) throw usage('A source is named both by itself and with --disk.');
  if (source !== undefined) return new Map([[bareDisk, source]]);
  if (disks.length === 0) throw usage('No source is named.');
  return valuesByDisk('--disk', disks, false);
}

function valuesByDisk(option: string, texts: readonly string[], bare: boolean): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const text of texts) {
    const { disk, value } = splitDiskValue(text) ?? { disk: bare ? bareDisk : undefined, value: text };
    if (disk === undefined) throw usage(`${option} ${text} does not say which disk it is for.`);
    if (values.has(disk)) throw usage(`${option} is given twice for disk ${disk}.`);
    values.set(disk, value);
  }
  return values;
}

function usage(detail: string): HoldfastError {
  return new HoldfastError('usage', detail, {
    remedy:
      'Name one SOURCE (it is disk vda), or every disk as --disk vda=SOURCE, --bitmap vda=NAME, --changed vda=FILE.',
  });
}

/** What a command had done when it was killed: from two listings of the folders that it works in. */
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** In the order in which commands get there, so that a line reads like a story. */
const kinds: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['half an object', /^\.tmp\//],
  ['key', /^keys\//],
  ['session', /^sess\//],
  ['spilled index', /^sess-idx\//],
  ['quarantine', /\/bad\//],
  ['data pack', /\/data\//],
  ['meta pack', /\/meta\//],
  ['fence', /^gc\/fence\/[^.]*$/],
  ['verdict', /^gc\/fence\/.*\.verdict$/],
  ['trash record', /\/tomb\//],
  ['point', /\/rp\//],
  ['index run', /\/idx\//],
  ['forwarding', /\/moved\//],
  ['condemned list', /^gc\/.*-condemned$/],
  ['holders', /^gc\/.*-holders$/],
  ['outcome', /^gc\/.*-outcome$/],
  ['scrub record', /\/scrub\//],
  ['restored disk', /^[^/]*\.(raw|qcow2)$/],
];

/** Keys of all objects, and of what is being written. */
export async function objectsIn(directories: readonly string[]): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  for (const directory of directories) {
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) keys.add(relative(directory, join(entry.parentPath, entry.name)));
    }
  }
  return keys;
}

/** "+session +data pack -trash record", or "nothing". */
export function describeChanges(before: ReadonlySet<string>, after: ReadonlySet<string>): string {
  const changed = kinds.flatMap(([name, pattern]) => {
    const isNew = [...after].some((key) => pattern.test(key) && !before.has(key));
    const isGone = [...before].some((key) => pattern.test(key) && !after.has(key));
    return [...(isNew ? [`+${name}`] : []), ...(isGone ? [`-${name}`] : [])];
  });
  return changed.length === 0 ? 'nothing' : changed.join(' ');
}

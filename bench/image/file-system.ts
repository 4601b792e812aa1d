/** Makes an ext4 file system out of a folder, without mounting anything. */
import { createHash } from 'node:crypto';
import { truncate, writeFile } from 'node:fs/promises';
import { run } from '../process/run.ts';

/**
 * Writes `path` as a sparse file of `sizeBytes` holding the tree. Without a journal and with lazy inode tables, so
 * that it has data only where there are files and their metadata. The UUIDs and the time of creation are fixed; inode
 * change times and the order of directory entries are the host's, so two builds differ in a few metadata blocks.
 */
export async function makeFileSystem(options: {
  readonly tree: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly label: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { tree, path, sizeBytes, label, signal } = options;
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  const uuid = uuidOf(label);
  const features = '^has_journal,^resize_inode';
  const extras = `lazy_itable_init=1,root_owner=0:0,hash_seed=${uuid},nodiscard`;
  await run({
    command: [
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-b',
      '4096',
      '-i',
      '8192',
      '-I',
      '256',
      '-m',
      '0',
      '-O',
      features,
      '-E',
      extras,
      '-U',
      uuid,
      '-L',
      label,
      '-d',
      tree,
      path,
    ],
    env: { E2FSPROGS_FAKE_TIME: '1767225600', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    signal,
  });
}

function uuidOf(label: string): string {
  const hex = createHash('sha256').update(label).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}

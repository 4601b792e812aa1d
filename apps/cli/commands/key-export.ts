/** `holdfast key export`: a key record outside of the storage, for the day on which `keys/` is lost. */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { HoldfastError, systemErrorCode } from '@holdfast/base';
import {
  keyRecordKey,
  type KeyRecord,
  type RepositoryConfiguration,
  readConfiguration,
  readKeyRecords,
} from '@holdfast/engine';
import { storageOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { openStorage } from '../wiring/storage.ts';

export const command = defineCommand(
  {
    name: 'key export',
    summary: 'Write a key to a file, to be kept somewhere else',
    details:
      'FILE gets the key record as it lies on the storage, FILE.txt says how to put it back. It stays locked with its\n' +
      'passphrase: keep both, in two places.',
    arguments: {},
    options: {
      ...storageOptions,
      to: { value: 'FILE', required: true, completes: 'file', summary: 'Must not exist yet' },
      key: { value: 'KEY', summary: 'Which one; may be left out when there is one' },
    },
  },
  async ({ options, context }) => {
    const { output, signal } = context;
    await using storage = await openStorage({ selection: options, context });
    const { store } = storage;
    const configuration = await readConfiguration({ store, signal });
    const record = chooseKey(await readKeyRecords({ store, signal }), options.key);
    const key = keyRecordKey(record.id);
    const note = recoveryNote({ record, configuration, key });
    await writeNewFiles([
      { path: options.to, content: await store.get(key, { signal }) },
      { path: `${options.to}.txt`, content: Buffer.from(note) },
    ]);
    output.result(
      { key: record.id, repository: configuration.repository, file: options.to, note: `${options.to}.txt` },
      `Wrote ${record.id} to ${options.to}; ${options.to}.txt says how to put it back.`,
    );
  },
);

function chooseKey(records: readonly KeyRecord[], id: string | undefined): KeyRecord {
  const found = records.filter((record) => id === undefined || record.id === id);
  if (found.length === 1) return found[0]!;
  if (records.length === 0) throw new HoldfastError('key_missing', 'The folder keys/ holds no key of this repository.');
  const ids = records.map((record) => record.id).join(', ');
  throw new HoldfastError('usage', id === undefined ? 'There are several keys.' : `There is no key ${id}.`, {
    remedy: `Name one with --key: ${ids}.`,
  });
}

function recoveryNote(about: {
  readonly record: KeyRecord;
  readonly configuration: RepositoryConfiguration;
  readonly key: string;
}): string {
  const { record, configuration, key } = about;
  const opens =
    record.wrap.kind === 'none'
      ? 'The repository is not encrypted: the record opens it without a passphrase.'
      : `It opens with its passphrase only (label: ${record.label}). Keep that elsewhere; nobody can recover it.`;
  return `Key record ${record.id} of the Holdfast repository ${configuration.repository}, created ${record.created_at}.

${opens}

To put it back, copy the file beside this note to ${key} in the directory of the repository, where repo.json lies:

  cp FILE DIRECTORY/${key}
`;
}

/** All or none; readable for their owner only. @throws target_exists, target_unwritable */
async function writeNewFiles(files: readonly { readonly path: string; readonly content: Buffer }[]): Promise<void> {
  const made: string[] = [];
  let current = '';
  try {
    for (const { path, content } of files) {
      current = path;
      await using file: FileHandle = await open(path, 'wx', 0o600);
      made.push(path);
      await file.writeFile(content);
      await file.sync();
    }
  } catch (cause) {
    for (const path of made) await unlink(path);
    if (systemErrorCode(cause) === 'EEXIST') {
      throw new HoldfastError('target_exists', `${current} exists already.`, {
        remedy: 'Choose another file.',
        cause,
      });
    }
    throw new HoldfastError('target_unwritable', `${current} cannot be written.`, { cause });
  }
}

/** `holdfast key list`: which keys open a repository. Needs none of them. */
import { readConfiguration, readKeyRecords } from '@holdfast/engine';
import { storageOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { layOutColumns } from '../terminal/columns.ts';
import { formatLocalTime } from '../terminal/format.ts';
import { openStorage } from '../wiring/storage.ts';

export const command = defineCommand(
  { name: 'key list', summary: 'List the keys that open a repository', arguments: {}, options: storageOptions },
  async ({ options, context }) => {
    const { output, signal } = context;
    await using storage = await openStorage({ selection: options, context });
    const { store } = storage;
    await readConfiguration({ store, signal });
    const records = await readKeyRecords({ store, signal });
    output.result(
      {
        keys: records.map(({ id, label, created_at: createdAt, encrypted, wrap }) => ({
          key: id,
          label,
          created_at: createdAt,
          encrypted,
          opens_with: openedBy(wrap.kind),
        })),
      },
      layOutColumns(
        [{ title: 'KEY' }, { title: 'CREATED' }, { title: 'OPENS WITH' }, { title: 'LABEL' }],
        records.map(({ id, label, created_at: createdAt, wrap }) => [
          id,
          formatLocalTime(createdAt),
          openedBy(wrap.kind),
          label,
        ]),
      ).join('\n'),
    );
  },
);

function openedBy(wrapping: 'none' | 'passphrase'): string {
  return wrapping === 'none' ? 'nothing (not encrypted)' : 'a passphrase';
}

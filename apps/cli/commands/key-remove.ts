/** `holdfast key remove`: one passphrase less. */
import { removeKey } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { withPassphrase } from '../wiring/repository.ts';
import { openStorage } from '../wiring/storage.ts';

export const command = defineCommand(
  {
    name: 'key remove',
    summary: 'Take a passphrase away',
    details:
      'Opens the repository with the passphrase of a key that stays, so the last key cannot be removed. The data stays\n' +
      'encrypted with the same key: whoever kept a copy of the removed key file can still read it with its passphrase.',
    arguments: { key: { required: true, summary: 'Id of the key, as in key list' } },
    options: repositoryOptions,
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    const { key } = args;
    await using storage = await openStorage({ selection: options, context });
    const { store } = storage;
    await withPassphrase(options, context, (passphrase) => removeKey({ store, key, passphrase, clock, signal }));
    output.result({ key }, `Removed ${key}.`);
  },
);

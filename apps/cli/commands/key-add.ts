/** `holdfast key add`: another passphrase for the same data. */
import { HoldfastError } from '@holdfast/base';
import { putKeyRecord, unlockSecret } from '@holdfast/engine';
import { newPassphraseOption, repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { choosePassphrase, newPassphrase } from '../wiring/passphrase.ts';
import { withPassphrase } from '../wiring/repository.ts';
import { openStorage } from '../wiring/storage.ts';

export const command = defineCommand(
  {
    name: 'key add',
    summary: 'Add a passphrase that opens a repository',
    details: 'The passphrases there are go on opening it; key rotate and key remove take them away.',
    arguments: {},
    options: {
      ...repositoryOptions,
      ...newPassphraseOption,
      label: { value: 'TEXT', summary: 'Whose it is, shown in key list' },
    },
  },
  async ({ options, context }) => {
    const { output, clock, signal } = context;
    const label = options.label ?? 'added key';
    if (label.length > 200) throw new HoldfastError('usage', 'A label has 200 characters at most.');
    await using storage = await openStorage({ selection: options, context });
    const { store } = storage;
    const secret = await withPassphrase(options, context, (passphrase) =>
      unlockSecret({ store, passphrase, clock, signal }),
    );
    if (!secret.encrypted) {
      throw new HoldfastError('usage', 'This repository is not encrypted, so a passphrase would protect nothing.', {
        remedy: 'Create an encrypted repository with holdfast repo init --encrypt and back up into that.',
      });
    }
    const passphrase = await choosePassphrase(context, { file: options.newPassphraseFile, variable: newPassphrase });
    const key = await putKeyRecord({ store, secret, passphrase, label, clock, signal });
    output.result({ key, label }, `Added ${key}.`);
  },
);

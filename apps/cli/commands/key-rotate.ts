/** `holdfast key rotate`: a new passphrase in place of the one given. */
import { HoldfastError } from '@holdfast/base';
import { unlockSecret } from '@holdfast/engine';
import { rotateKey } from '@holdfast/engine/care';
import { newPassphraseOption, repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { choosePassphrase, newPassphrase } from '../wiring/passphrase.ts';
import { withPassphrase } from '../wiring/repository.ts';
import { openStorage } from '../wiring/storage.ts';

export const command = defineCommand(
  {
    name: 'key rotate',
    summary: 'Replace the passphrase by a new one',
    details:
      'The new passphrase is stored and proved before the old one is taken away; other passphrases stay. The data stays\n' +
      'encrypted with the same key: whoever kept a copy of the old key file can still read it with the old passphrase.',
    arguments: {},
    options: {
      ...repositoryOptions,
      ...newPassphraseOption,
      label: { value: 'TEXT', summary: 'Whose it is, shown in key list (default: as before)' },
    },
  },
  async ({ options, context }) => {
    const { output, clock, signal } = context;
    const { label } = options;
    if (label !== undefined && label.length > 200) {
      throw new HoldfastError('usage', 'A label has 200 characters at most.');
    }
    await using storage = await openStorage({ selection: options, context });
    const { store } = storage;
    const places = { file: options.newPassphraseFile, variable: newPassphrase };
    const { key, replaced } = await withPassphrase(options, context, async (passphrase) => {
      await unlockSecret({ store, passphrase, clock, signal });
      const chosen = await choosePassphrase(context, places);
      return await rotateKey({ store, passphrase, newPassphrase: chosen, label, clock, signal });
    });
    output.result({ key, replaced }, `Added ${key}, removed ${replaced.join(', ')}.`);
  },
);

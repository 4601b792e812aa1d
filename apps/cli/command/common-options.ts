/** Options that several commands share, and what every command has. */
import type { OptionSpecifications } from './specification.ts';

export const everyCommand = {
  json: { summary: 'Print one JSON object a line; the last one is the result' },
} as const satisfies OptionSpecifications;

/** Commands that work on a storage. */
export const storageOptions = {
  storage: { value: 'URL', required: true, summary: 'Where the repository lies: file:///absolute/dir' },
  limitRate: { value: 'BYTES', summary: 'Most bytes a second to and from the storage, such as 50M' },
} as const satisfies OptionSpecifications;

/** Commands that open the repository. */
export const repositoryOptions = {
  ...storageOptions,
  passphraseFile: {
    value: 'FILE',
    completes: 'file',
    summary: 'File that holds the passphrase (default: HOLDFAST_PASSPHRASE, or asked for)',
  },
} as const satisfies OptionSpecifications;

/** Commands that make a key. */
export const newPassphraseOption = {
  newPassphraseFile: {
    value: 'FILE',
    completes: 'file',
    summary: 'File that holds the new passphrase (default: HOLDFAST_NEW_PASSPHRASE, or asked for)',
  },
} as const satisfies OptionSpecifications;

/** Commands that work on virtual machines. */
export const connectionOptions = {
  connect: { value: 'URI', summary: 'Which libvirt (default: qemu:///system)' },
} as const satisfies OptionSpecifications;

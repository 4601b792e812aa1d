/** `holdfast repo init`: a new repository on an empty place. */
import { chunkProfiles, hashAlgorithms, initRepository } from '@holdfast/engine';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { parseChunkSize } from '../wiring/chunk-size.ts';
import { choosePassphrase, currentPassphrase } from '../wiring/passphrase.ts';
import { openStorage } from '../wiring/storage.ts';

export const command = defineCommand(
  {
    name: 'repo init',
    summary: 'Create a repository',
    details:
      'The directory is created when it is missing. With --encrypt (or --passphrase-file) everything but names and sizes\n' +
      'is encrypted on this machine before it is stored; whoever loses the passphrase loses the data.',
    arguments: {},
    options: {
      ...repositoryOptions,
      encrypt: { summary: 'Encrypt with a passphrase' },
      hash: { value: 'NAME', choices: hashAlgorithms, summary: 'How chunks are identified (default: blake3)' },
      chunkSize: {
        value: 'SIZE',
        summary: `${Object.keys(chunkProfiles).join(', ')}, or bytes: a power of two from 64K to 4M (default: 1M)`,
      },
    },
  },
  async ({ options, context }) => {
    const { output, signal, clock, environment } = context;
    const chunkBytes = parseChunkSize('--chunk-size', options.chunkSize);
    const encrypted = options.encrypt || options.passphraseFile !== undefined;
    const passphrase = encrypted
      ? await choosePassphrase(context, { file: options.passphraseFile, variable: currentPassphrase })
      : undefined;
    if (!encrypted && environment[currentPassphrase]) {
      output.warn(`${currentPassphrase} is set, but without --encrypt this repository is not encrypted.`);
    }
    await using storage = await openStorage({ selection: options, create: true, context });
    const { store } = storage;
    const made = await initRepository({ store, hash: options.hash, chunkBytes, passphrase, clock, signal });
    output.result(
      {
        repository: made.repository,
        encrypted,
        hash: made.hash,
        chunk_bytes: made.defaults.chunk_bytes,
        pack_bytes: made.defaults.pack_bytes,
      },
      `Created repository ${made.repository}, ${encrypted ? 'encrypted' : 'not encrypted'}.`,
    );
  },
);

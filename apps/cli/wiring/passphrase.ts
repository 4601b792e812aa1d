/** Where a passphrase comes from: a file, the environment, or the person at the terminal. */
import { readFile } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/base';
import type { Context } from '../command/invocation.ts';

export type PassphrasePlaces = {
  readonly file: string | undefined;
  /** Name of the environment variable. */
  readonly variable: string;
};

export const currentPassphrase = 'HOLDFAST_PASSPHRASE';
export const newPassphrase = 'HOLDFAST_NEW_PASSPHRASE';
/** Of the repository that points are copied to. */
export const targetPassphrase = 'HOLDFAST_TO_PASSPHRASE';

/** From file or environment; undefined when neither is set. @throws usage */
export async function findPassphrase(context: Context, places: PassphrasePlaces): Promise<string | undefined> {
  const { file, variable } = places;
  if (file !== undefined) return await readPassphraseFile(file, context.signal);
  const value = context.environment[variable];
  return value === undefined || value === '' ? undefined : value;
}

/** For a new key: asked for twice when it is not given, so that a slip of the finger locks nobody out. @throws usage */
export async function choosePassphrase(context: Context, places: PassphrasePlaces): Promise<string> {
  const given = await findPassphrase(context, places);
  if (given !== undefined) return given;
  const { prompt, signal } = context;
  if (!prompt) {
    throw new HoldfastError('key_required', 'A new key needs a passphrase, and nobody can be asked for it here.', {
      remedy: `Set ${places.variable} or name a file that holds it.`,
    });
  }
  const first = await prompt.secret('New passphrase: ', signal);
  if (first === '') throw new HoldfastError('usage', 'An empty passphrase protects nothing.');
  if ((await prompt.secret('The same again: ', signal)) === first) return first;
  throw new HoldfastError('usage', 'The two passphrases are not the same.', { remedy: 'Run again.' });
}

/** The whole file but for one line end, as editors and `echo` leave it. */
async function readPassphraseFile(file: string, signal: AbortSignal): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, { encoding: 'utf8', signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new HoldfastError('usage', `The passphrase file ${file} cannot be read.`, {
      cause,
      remedy: 'Check its path and permissions.',
    });
  }
  const passphrase = text.replace(/\r?\n$/, '');
  if (passphrase !== '') return passphrase;
  throw new HoldfastError('usage', `The passphrase file ${file} is empty.`, {
    remedy: 'Write the passphrase into it.',
  });
}

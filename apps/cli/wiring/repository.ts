/** Opening the repository that the options name, asking for its passphrase when it has one. */
import { HoldfastError, hasCode } from '@holdfast/base';
import { openRepository, type Repository } from '@holdfast/engine';
import type { Context } from '../command/invocation.ts';
import { currentPassphrase, findPassphrase } from './passphrase.ts';
import { type OpenedStorage, openStorage, type StorageSelection } from './storage.ts';

export type RepositorySelection = StorageSelection & { readonly passphraseFile: string | undefined };

/** Which of several repositories of a command is meant, when it asks for a passphrase. */
export type PassphraseRequest = {
  readonly variable: string;
  /** The option that names a file. */
  readonly option: string;
  readonly question: string;
};

const ofTheRepository: PassphraseRequest = {
  variable: currentPassphrase,
  option: '--passphrase-file',
  question: 'Passphrase: ',
};

export interface OpenedRepository extends OpenedStorage {
  readonly repository: Repository;
}

/** @throws storage errors, not_a_repository, repository_newer, repository_damaged, key_required, key_wrong, key_missing */
export async function openSelectedRepository(
  selection: RepositorySelection,
  context: Context,
  request: PassphraseRequest = ofTheRepository,
): Promise<OpenedRepository> {
  const storage = await openStorage({ selection, context });
  const { store } = storage;
  const { clock, signal } = context;
  try {
    const open = (passphrase: string | undefined) => openRepository({ store, passphrase, clock, signal });
    const repository = await withPassphrase(selection, context, open, request);
    return { ...storage, repository };
  } catch (error) {
    await storage[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs `open` with the passphrase at hand; when it asks for one and a person is there, asks and runs it again. */
export async function withPassphrase<Result>(
  selection: RepositorySelection,
  context: Context,
  open: (passphrase: string | undefined) => Promise<Result>,
  { variable, option, question }: PassphraseRequest = ofTheRepository,
): Promise<Result> {
  const found = await findPassphrase(context, { file: selection.passphraseFile, variable });
  try {
    return await open(found);
  } catch (error) {
    if (!hasCode(error, 'key_required')) throw error;
    if (!context.prompt) {
      const remedy = `Set ${variable} or pass ${option}.`;
      throw new HoldfastError('key_required', error.message, { cause: error, remedy });
    }
  }
  const typed = await context.prompt.secret(question, context.signal);
  if (typed === '') throw new HoldfastError('key_required', 'No passphrase was typed.');
  return await open(typed);
}

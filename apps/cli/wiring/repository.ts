/** Opening the repository that the options name, asking for its passphrase when it has one. */
import { HoldfastError, hasCode } from '@holdfast/base';
import { openRepository, type Repository } from '@holdfast/engine';
import type { Context } from '../command/invocation.ts';
import { currentPassphrase, findPassphrase } from './passphrase.ts';
import { type OpenedStorage, openStorage, type StorageSelection } from './storage.ts';

export type RepositorySelection = StorageSelection & { readonly passphraseFile: string | undefined };

export interface OpenedRepository extends OpenedStorage {
  readonly repository: Repository;
}

/** @throws storage errors, not_a_repository, repository_newer, repository_damaged, key_required, key_wrong, key_missing */
export async function openSelectedRepository(
  selection: RepositorySelection,
  context: Context,
): Promise<OpenedRepository> {
  const storage = await openStorage({ selection, context });
  try {
    const repository = await withPassphrase(selection, context, (passphrase) =>
      openRepository({ store: storage.store, passphrase, clock: context.clock, signal: context.signal }),
    );
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
): Promise<Result> {
  const found = await findPassphrase(context, { file: selection.passphraseFile, variable: currentPassphrase });
  try {
    return await open(found);
  } catch (error) {
    if (!hasCode(error, 'key_required') || !context.prompt) throw error;
  }
  const typed = await context.prompt.secret('Passphrase: ', context.signal);
  if (typed === '') throw new HoldfastError('key_required', 'No passphrase was typed.');
  return await open(typed);
}

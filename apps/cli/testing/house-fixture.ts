/** A directory with a repository in it, for one test of the command. */
import { join } from 'node:path';
import { temporaryDirectory } from '@holdfast/testing';
import { holdfast } from './run-holdfast.ts';

export type House = AsyncDisposable & {
  /** Path of something in the directory. */
  readonly at: (name: string) => string;
  /** `--storage` and the URL of `at('repository')`. */
  readonly storage: readonly [string, string];
};

/** `await using made = await makeHouse();` The repository is not encrypted. */
export async function makeHouse(): Promise<House> {
  const directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const storage = ['--storage', `file://${at('repository')}`] as const;
  await holdfast(['repo', 'init', ...storage]);
  return { at, storage, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

export type ListedPoint = Readonly<Record<string, unknown>> & { readonly point: string };

/** What `holdfast points` lists. */
export async function listPoints(words: readonly string[]): Promise<readonly ListedPoint[]> {
  const { points } = await holdfast(['points', ...words]);
  return points as readonly ListedPoint[];
}

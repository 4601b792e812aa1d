/** Runs spin on a model of this folder: an exhaustive search, or an error and how one comes there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryDirectory } from '@holdfast/testing';

const run = promisify(execFile);

/** Preprocessor definitions: a number, or true for one without a value. */
export type Definitions = Readonly<Record<string, number | true>>;

export type SearchResult = {
  /** The assertion that does not hold, as spin prints it. */
  readonly violated: string | undefined;
  readonly states: number;
  /** Every step to the violation with the values after it. */
  readonly trail: string;
};

/** No search may take more; together with state compression it holds 50 million states of these models. */
const memoryMiB = 3500;
/** Of the search, in steps. A longer path ends the test, as the search would not be exhaustive. */
const depthAtMost = 1_000_000;

/** States are compressed without loss (COLLAPSE); nothing is hashed away. @throws when the search is not exhaustive */
export async function search(model: string, definitions: Definitions): Promise<SearchResult> {
  await using directory = await temporaryDirectory();
  const cwd = directory.path;
  for (const file of (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.pml'))) {
    await copyFile(join(import.meta.dirname, file), join(cwd, file));
  }
  const defines = Object.entries(definitions).map(([name, value]) =>
    value === true ? `-D${name}` : `-D${name}=${value}`,
  );
  await run('spin', [...defines, '-a', model], { cwd });
  const compile = ['-w', '-O1', '-DSAFETY', '-DCOLLAPSE', '-DNOFAIR', `-DMEMLIM=${memoryMiB}`, '-o', 'pan', 'pan.c'];
  await run('gcc', compile, { cwd });
  // -E: to be blocked is no error, it is how a crash looks.
  const { stdout } = await run(join(cwd, 'pan'), ['-E', '-n', `-m${depthAtMost}`, '-w24'], { cwd });
  const violated = /assertion violated (.*) \(at depth/.exec(stdout)?.[1];
  const states = Number(/(\d+) states, stored/.exec(stdout)?.[1]);
  assert.ok(states > 0, stdout);
  if (violated !== undefined) return { violated, states, trail: await trailOf({ model, defines, cwd }) };
  assert.match(stdout, /errors: 0$/m, stdout);
  assert.doesNotMatch(stdout, /Search not completed|max search depth too small|out of memory|truncated|resize/, stdout);
  return { violated, states, trail: '' };
}

async function trailOf(found: { model: string; defines: readonly string[]; cwd: string }): Promise<string> {
  const { model, defines, cwd } = found;
  // It exits with 1, as the assertion is violated again.
  const replay = run('spin', [...defines, '-t', '-p', '-g', model], { cwd }).catch(
    (error: { stdout?: string }) => error,
  );
  return (await replay).stdout ?? '';
}

/** Small file systems for tests of what happens when one is full or read-only. Root only. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A tmpfs until disposed; undefined, and the test marked as skipped, where mounting is not allowed. */
export async function mountForTest(options: {
  readonly at: string;
  readonly options: string;
  readonly test: TestContext;
}): Promise<AsyncDisposable | undefined> {
  await mkdir(options.at);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', options.options, 'holdfast-test', options.at]);
  } catch {
    options.test.skip('needs the right to mount a tmpfs');
    return undefined;
  }
  return {
    async [Symbol.asyncDispose]() {
      await run('umount', [options.at]);
    },
  };
}

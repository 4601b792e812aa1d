import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { SuiteResult } from './suite.ts';

/** Runs the unit suite over one test file of this text, in a process that is no test itself. */
async function suiteOver(text: string | undefined, limitMs = 20_000): Promise<SuiteResult> {
  const root = await mkdtemp(join(tmpdir(), 'suite-'));
  try {
    await mkdir(join(root, 'packages/a'), { recursive: true });
    const head = `import { test, describe } from 'node:test'; import assert from 'node:assert/strict';`;
    if (text !== undefined) await writeFile(join(root, 'packages/a/a.test.ts'), `${head}\n${text}`);
    const program = `import { runTests } from '${import.meta.resolve('./node-suite.ts')}';
      console.log(JSON.stringify(await runTests('unit')({ root: process.argv[2], signal: AbortSignal.timeout(${limitMs}) })));`;
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const args = [join(root, 'suite.mjs'), root];
    await writeFile(join(root, 'suite.mjs'), program); // not -e: the runner hands node's options on to the test files
    const { stdout } = await promisify(execFile)(process.execPath, args, { env });
    return JSON.parse(stdout);
  } finally {
    await rm(root, { recursive: true });
  }
}

test('tests are counted one by one, groups are not', async () => {
  const result = await suiteOver(`describe('group', () => { test('one', () => {}); test('two', () => {}); });`);
  assert.deepEqual(result, { passed: 2, failed: 0, skipped: [], failures: '' });
});

test('a failing test is shown with its place, its error and what its file printed', async () => {
  const result = await suiteOver(
    `test('fine', () => {});\ntest('adds up', () => { console.log('seen'); assert.equal(1 + 1, 3); });`,
  );
  assert.equal(result.passed, 1);
  assert.equal(result.failed, 1);
  assert.match(result.failures, /FAILED adds up \(packages\/a\/a\.test\.ts:3\)/);
  assert.match(result.failures, /2 !== 3/);
  assert.match(result.failures, /seen/);
});

test('a parent is not counted for the failure of its child', async () => {
  const result = await suiteOver(`test('p', async (t) => { await t.test('child', () => assert.fail('no')); });`);
  assert.equal(result.failed, 1);
  assert.match(result.failures, /FAILED child/);
});

test('skips carry their reason', async () => {
  const result = await suiteOver(`test('later', { skip: 'needs Ceph' }, () => {}); test('fine', () => {});`);
  assert.deepEqual(result.skipped, [{ title: 'later', reason: 'needs Ceph' }]);
  assert.equal(result.failed, 0);
});

for (const [what, text] of [
  ['a file that does not load', `import './nowhere.ts';`],
  [
    'a file that crashes after its tests',
    `test('fine', () => {}); setTimeout(() => { throw new Error('late'); }, 50);`,
  ],
  [
    'a file that ends with an exit code',
    `test('fine', () => {}); process.on('exit', () => { process.exitCode = 3; });`,
  ],
] as const) {
  test(`${what} fails the suite`, async () => {
    assert.equal((await suiteOver(text)).failed, 1);
  });
}

test('a suite without a file fails, and so does a file without a test', async () => {
  assert.equal((await suiteOver(undefined)).failed, 1);
  assert.equal((await suiteOver('')).failed, 1);
});

test('a file that hangs is stopped by the limit and named', async () => {
  const result = await suiteOver(
    `test('hangs', async () => { await new Promise((r) => setTimeout(r, 60_000)); });`,
    1500,
  );
  assert.equal(result.failed, 1);
  assert.match(result.failures, /a\.test\.ts/);
});

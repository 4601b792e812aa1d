/** A suite of test files, each in a process of its own, run by node:test. */
import { globSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { inspect } from 'node:util';
import type { Skip, SuiteContext, SuiteResult } from './suite.ts';

/** Files side by side: the machine that CI has two cores, and integration tests start QEMUs that work by themselves. */
const filesAtOnce = 2;

const testFolders = '{packages,apps,bench,e2e,scripts}';
const kinds = ['integ', 'e2e', 'long'] as const;

/** `unit` is every *.test.ts that is of no other kind. */
export type TestKind = (typeof kinds)[number] | 'unit';

export function runTests(kind: TestKind): (context: SuiteContext) => Promise<SuiteResult> {
  return async ({ root, signal }) => {
    const files = testFiles({ root, kind });
    if (files.length === 0) return { passed: 0, failed: 1, skipped: [], failures: `no ${kind} test file exists\n` };
    return await runFiles({ root, files, signal });
  };
}

function testFiles({ root, kind }: { root: string; kind: TestKind }): readonly string[] {
  const pattern = `${testFolders}/**/*${kind === 'unit' ? '' : `.${kind}`}.test.ts`;
  const found = globSync(pattern, { cwd: root, exclude: (name) => name === 'node_modules' }).map((file) =>
    join(root, file),
  );
  return kind === 'unit' ? found.filter((file) => !kinds.some((other) => file.endsWith(`.${other}.test.ts`))) : found;
}

type FilesRequest = { readonly root: string; readonly files: readonly string[]; readonly signal: AbortSignal };

async function runFiles({ root, files, signal }: FilesRequest): Promise<SuiteResult> {
  let passed = 0;
  let failed = 0;
  const skipped: Skip[] = [];
  const failures: string[] = [];
  const printedByFile = new Map<string, string>();
  const failedFiles = new Set<string>();

  const keepPrinted = ({ file, message }: { file?: string; message: string }): void => {
    if (file !== undefined) printedByFile.set(file, (printedByFile.get(file) ?? '') + message);
  };
  const stream = run({ files: files.toSorted(), cwd: root, concurrency: filesAtOnce, signal });
  stream.on('test:stdout', keepPrinted);
  stream.on('test:stderr', keepPrinted);
  stream.on('test:pass', ({ name, skip, todo, details }) => {
    if (details.type === 'suite') return;
    if (files.includes(name)) {
      // A file without a test is reported as a test that passed.
      failed += 1;
      failures.push(`FAILED ${relative(root, name)}: holds no test\n`);
      return;
    }
    const reason = skip ?? todo;
    if (reason === undefined || reason === false) passed += 1;
    else
      skipped.push({ title: name, reason: typeof reason === 'string' && reason !== '' ? reason : 'no reason given' });
  });
  stream.on('test:fail', ({ name, details, file, line }) => {
    // A parent that only failed through its children would be counted twice.
    if ('failureType' in details.error && details.error.failureType === 'subtestsFailed') return;
    failed += 1;
    if (file !== undefined) failedFiles.add(file);
    const place = file === undefined ? '' : ` (${relative(root, file)}${line === undefined ? '' : `:${line}`})`;
    failures.push(
      `FAILED ${files.includes(name) ? 'the file itself' : name}${place}\n${indent(inspect(details.error.cause ?? details.error, { depth: 6 }))}\n`,
    );
  });
  for await (const _ of stream); // drains; the listeners above do the counting

  for (const file of failedFiles) {
    const printed = printedByFile.get(file);
    if (printed) failures.push(`printed by ${relative(root, file)}:\n${indent(printed)}\n`);
  }
  return { passed, failed, skipped, failures: failures.join('\n') };
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}

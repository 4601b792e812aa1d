/**
 * `./test [--all] [suite...]`: runs the suites, all of them even when one fails, and says per suite how long it took,
 * what failed in full, and what was skipped and why. The last line is `N passed, N failed, N skipped`; CI reads it.
 * Exit code 0 when nothing failed, 1 otherwise, 2 for a wrong argument, 130 when interrupted.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { endLeftovers } from './test/leftovers.ts';
import type { Suite, SuiteResult } from './test/suite.ts';
import { suites } from './test/suites.ts';

process.exitCode = await main();

async function main(): Promise<number> {
  const chosen = chooseSuites();
  if (typeof chosen === 'string') {
    console.error(`test: ${chosen}\n${usage()}`);
    return 2;
  }
  const root = resolve(import.meta.dirname, '..');
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort(new Error(name)));

  // Whatever a test leaves behind lies in here. The name is short: paths of unix sockets end at 107 characters.
  const temporary = await mkdtemp(join(tmpdir(), 'hf-'));
  await chmod(temporary, 0o755); // tests of denied access act as another user, who must get this far
  process.env['TMPDIR'] = temporary;
  process.env['PATH'] = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
  process.env['NODE_COMPILE_CACHE'] ??= join(root, '.cache/compile');

  const total = { passed: 0, failed: 0, skipped: 0 };
  try {
    for (const suite of chosen) {
      const startedMs = performance.now();
      const result = await runSuite({ suite, root, stop: stop.signal });
      for (const command of await endLeftovers({ temporary })) console.log(`left running, ended now: ${command}`);
      if (stop.signal.aborted) break;
      print({ suite, result, seconds: (performance.now() - startedMs) / 1000 });
      total.passed += result.passed;
      total.failed += result.failed;
      total.skipped += result.skipped.length;
    }
  } finally {
    await rm(temporary, { recursive: true, force: true, maxRetries: 3 });
  }
  if (stop.signal.aborted) {
    console.error('test: interrupted');
    return 130;
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed === 0 ? 0 : 1;
}

function chooseSuites(): readonly Suite[] | string {
  try {
    const { values, positionals } = parseArgs({ options: { all: { type: 'boolean' } }, allowPositionals: true });
    const unknown = positionals.find((name) => !suites.some((suite) => suite.name === name));
    if (unknown !== undefined) return `there is no suite ${unknown}`;
    if (positionals.length > 0) return suites.filter((suite) => positionals.includes(suite.name));
    return suites.filter((suite) => suite.when === 'always' || values.all);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function usage(): string {
  const rows = suites.map(({ name, about, when }) => `  ${name.padEnd(8)}${about}${when === 'all' ? ' (--all)' : ''}`);
  return ['./test [--all] [suite...]', ...rows].join('\n');
}

type SuiteRun = { readonly suite: Suite; readonly root: string; readonly stop: AbortSignal };

async function runSuite({ suite, root, stop }: SuiteRun): Promise<SuiteResult> {
  const limit = AbortSignal.timeout(suite.limitMinutes * 60_000);
  const result = await suite.run({ root, signal: AbortSignal.any([stop, limit]) });
  if (!limit.aborted) return result;
  const failures = `${result.failures}\nstopped after its limit of ${suite.limitMinutes} minutes\n`;
  return { ...result, failed: result.failed + 1, failures };
}

function print({ suite, result, seconds }: { suite: Suite; result: SuiteResult; seconds: number }): void {
  const { passed, failed, skipped, failures } = result;
  const counts = `${passed} passed, ${failed} failed, ${skipped.length} skipped;`;
  console.log(
    `${failed === 0 ? 'ok  ' : 'FAIL'} ${suite.name.padEnd(8)}${seconds.toFixed(1).padStart(7)} s   ${counts}  ${suite.about}`,
  );
  for (const { title, reason } of skipped) console.log(`       skipped: ${title}: ${reason}`);
  if (failures !== '') console.log(failures.replace(/^(?=.)/gm, '     '));
}

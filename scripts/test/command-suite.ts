/** A check that is one program: right when it exits with 0. Counts as one test. */
import { spawn } from 'node:child_process';
import type { SuiteContext, SuiteResult } from './suite.ts';

/** @param args of node: a script and its arguments, relative to the root. */
export function runCheck(args: readonly string[]): (context: SuiteContext) => Promise<SuiteResult> {
  return async ({ root, signal }) => {
    const child = spawn(process.execPath, [...args], { cwd: root, signal, stdio: ['ignore', 'pipe', 'pipe'] });
    const output: Buffer[] = [];
    child.stdout.on('data', (data: Buffer) => output.push(data));
    child.stderr.on('data', (data: Buffer) => output.push(data));
    const exitCode = await new Promise<number>((resolve) => {
      child.once('error', (error) => output.push(Buffer.from(`${error.message}\n`)));
      child.once('close', (code) => resolve(code ?? 1));
    });
    if (exitCode === 0) return { passed: 1, failed: 0, skipped: [], failures: '' };
    return { passed: 0, failed: 1, skipped: [], failures: Buffer.concat(output).toString() };
  };
}

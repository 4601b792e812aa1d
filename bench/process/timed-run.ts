/**
 * Runs a program and measures it and everything it waited for.
 *
 * - wall clock: from the start to the end of the process, milliseconds;
 * - CPU seconds and peak memory: GNU time (wait4's rusage): CPU of the whole tree, memory of its largest process;
 * - bytes read and written: the kernel adds the counters of a reaped tree to its parent's /proc/self/io, so the
 *   difference of our own counters is the tree's. `rchar` counts bytes passed through read calls, from the page cache
 *   too; memory-mapped reads are not counted.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunOptions } from './run.ts';

export type Usage = {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakBytes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
};

export type TimedResult = { readonly usage: Usage; readonly stdout: string };

/** @throws Error with the program's standard error when it exits with another code than 0. */
export async function timedRun(options: Omit<RunOptions, 'input'>): Promise<TimedResult> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-bench-'));
  try {
    const report = join(dir, 'time');
    const output: Buffer[] = [];
    const complaints: Buffer[] = [];
    const before = ioCounters();
    const startedMs = performance.now();
    const child = spawn('time', ['--output', report, '--format', '%U %S %M', '--', ...options.command], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own: an abort has to reach the program, not only time(1) before it.
      detached: true,
    });
    const kill = (): void => void (child.pid !== undefined && process.kill(-child.pid, 'SIGTERM'));
    options.signal?.addEventListener('abort', kill, { once: true });
    if (options.signal?.aborted) kill();
    let endedMs = startedMs;
    child.once('exit', () => {
      endedMs = performance.now();
    });
    child.stdout.on('data', (data: Buffer) => output.push(data));
    child.stderr.on('data', (data: Buffer) => complaints.push(data));
    const [code, killedBy] = (await once(child, 'close')) as [number | null, string | null];
    const after = ioCounters();
    options.signal?.removeEventListener('abort', kill);
    options.signal?.throwIfAborted();
    if (code !== 0) {
      throw new Error(
        `${options.command.join(' ')}: exit ${code ?? killedBy}\n${Buffer.concat(complaints).toString()}`,
      );
    }
    const [userSeconds = 0, systemSeconds = 0, peakKiB = 0] = (await readFile(report, 'utf8'))
      .trim()
      .split(' ')
      .map(Number);
    const usage: Usage = {
      wallMs: endedMs - startedMs,
      cpuMs: (userSeconds + systemSeconds) * 1000,
      peakBytes: peakKiB * 1024,
      readBytes: after.readBytes - before.readBytes,
      writtenBytes: after.writtenBytes - before.writtenBytes,
    };
    return { usage, stdout: Buffer.concat(output).toString() };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function ioCounters(): { readonly readBytes: number; readonly writtenBytes: number } {
  const text = readFileSync('/proc/self/io', 'utf8');
  const counter = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return { readBytes: counter('rchar'), writtenBytes: counter('wchar') };
}

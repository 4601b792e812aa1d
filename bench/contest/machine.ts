/** What the numbers were measured on. */
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { run } from '../process/run.ts';
import type { Contender } from './contender.ts';

export type Machine = {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly system: string;
  /** File system type and device of the scratch folder. */
  readonly scratch: string;
  readonly node: string;
  /** First line of each program's own answer. */
  readonly versions: Readonly<Record<string, string>>;
};

export async function describeMachine(options: {
  readonly scratchDir: string;
  readonly contenders: readonly Contender[];
  readonly signal: AbortSignal;
}): Promise<Machine> {
  const { scratchDir, contenders, signal } = options;
  const versions: Record<string, string> = {};
  for (const { title, program } of contenders) {
    versions[title] = (await run({ command: program, signal })).trim().split('\n')[0] ?? '';
  }
  const osRelease = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const command = ['findmnt', '--noheadings', '--output', 'FSTYPE,SOURCE', '--target', scratchDir] as const;
  return {
    cpu: await cpuName(),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    system: /^PRETTY_NAME="(.*)"$/m.exec(osRelease)?.[1] ?? 'unknown',
    scratch: (await run({ command, signal })).trim().replace(/\s+/g, ' on '),
    node: process.version,
    versions,
  };
}

/** Hypervisors often hide the model ("AMD EPYC"); family and model number tell generations apart. */
async function cpuName(): Promise<string> {
  const text = await readFile('/proc/cpuinfo', 'utf8');
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? '?';
  return `${cpus()[0]?.model ?? field('model name')} (family ${field('cpu family')}, model ${field('model')})`;
}

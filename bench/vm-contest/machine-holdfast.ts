/** `holdfast vm backup` on a private libvirt host, with a repository, caches and state of its own. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LibvirtHost } from '@holdfast/testing/guests';
import { holdfastCommand, type HoldfastRun, timedHoldfast } from '../process/holdfast.ts';
import { run } from '../process/run.ts';
import type { Usage } from '../process/timed-run.ts';

export type MachineBackup = {
  readonly usage: Usage;
  readonly point: string;
  readonly kind: string;
  readonly readBytes: number;
  readonly putBytes: number;
  readonly frozenMs: number;
};

export class MachineHoldfast {
  readonly repository: string;
  readonly #request: (words: readonly string[]) => HoldfastRun;

  private constructor(repository: string, request: (words: readonly string[]) => HoldfastRun) {
    this.repository = repository;
    this.#request = request;
  }

  /** In a folder that is made here. */
  static async open(options: {
    readonly host: LibvirtHost;
    readonly dir: string;
    readonly signal: AbortSignal;
  }): Promise<MachineHoldfast> {
    const { host, dir, signal } = options;
    await mkdir(dir, { recursive: true });
    const repository = join(dir, 'repository');
    const stateDirectory = join(host.directory, 'state');
    const env = {
      HOLDFAST_STATE_DIRECTORY: stateDirectory,
      // Compiled code stays, as it does for users; the rest of the caches is new.
      NODE_COMPILE_CACHE: join(import.meta.dirname, '../../.cache/bench/compile'),
    };
    await mkdir(stateDirectory, { recursive: true });
    const caches = join(dir, 'caches');
    const holdfast = new MachineHoldfast(repository, (words) => ({ repository, words, caches, env, signal }));
    await run(holdfastCommand(holdfast.#request(['repo', 'init'])));
    return holdfast;
  }

  /** @throws Error also when the point is not what was asked for, or the guest was not frozen */
  async backup(
    host: LibvirtHost,
    machine: string,
    kind: 'full' | 'incremental',
    words: readonly string[] = [],
  ): Promise<MachineBackup> {
    const all = ['vm', 'backup', machine, '--connect', host.uri, '--consistency', 'require', ...words];
    const { usage, result } = await timedHoldfast(this.#request(kind === 'full' ? [...all, '--full'] : all));
    if (result['kind'] !== kind) throw new Error(`wanted a point of kind ${kind}: ${JSON.stringify(result)}`);
    return {
      usage,
      kind,
      point: String(result['point']),
      readBytes: Number(result['read_bytes']),
      putBytes: Number(result['put_bytes']),
      frozenMs: Number(result['frozen_ms']),
    };
  }

  /** As a raw file. */
  async restore(point: string, disk: string, path: string): Promise<void> {
    await rm(path, { force: true });
    await run(holdfastCommand(this.#request(['restore', point, '--disk', disk, '--to', path])));
  }
}

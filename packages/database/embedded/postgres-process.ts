/** One life of the postmaster: from its start until it ends. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { DataDirectory } from './data-directory.ts';
import { programError } from './embedded-errors.ts';
import { settingArguments } from './settings.ts';
import { startProgram } from './unprivileged-process.ts';
import type { UnprivilegedUser } from './unprivileged-user.ts';

export type PostgresStart = DataDirectory & {
  readonly socketDirectory: string;
  /** One line of the server's log. */
  readonly log: (line: string) => void;
};

/** Lines kept for the message of an error. */
const KEPT_LINES = 20;

/** A fast shutdown writes one checkpoint: at most shared_buffers. */
const FAST_STOP_MS = 20_000;
const IMMEDIATE_STOP_MS = 5000;

export class PostgresProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #lastLines: string[] = [];
  readonly #place: { readonly directory: string; readonly user: UnprivilegedUser | undefined };

  /** Resolves as soon as connections are taken, after recovery when the last end was none. @throws as prepareData does */
  static async start(request: PostgresStart): Promise<PostgresProcess> {
    const process = new PostgresProcess(request);
    await process.#ready.promise;
    return process;
  }

  readonly #ready = Promise.withResolvers<void>();

  private constructor(request: PostgresStart) {
    const { directory, data, runtime, user, lockDescriptor, socketDirectory, log } = request;
    this.#place = { directory, user };
    const args = ['-D', data, ...settingArguments({ socketDirectory })];
    this.#child = startProgram({ program: runtime.postgres, args, user, lockDescriptor });
    createInterface({ input: this.#child.stderr! }).on('line', (line) => {
      this.#lastLines.push(line);
      if (this.#lastLines.length > KEPT_LINES) this.#lastLines.shift();
      if (line.endsWith('database system is ready to accept connections')) this.#ready.resolve();
      log(line);
    });
    this.#ended = once(this.#child, 'close').then(
      () => this.#ready.reject(this.failure()),
      (error: unknown) => this.#ready.reject(programError({ program: 'setpriv', ...this.#place, text: String(error) })),
    );
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Resolves when it has ended, whatever the reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** What it said at its end. */
  failure(): Error {
    return programError({ program: 'postgres', ...this.#place, text: this.#lastLines.join('\n') });
  }

  /** Clients are sent away, everything is written down. What does not end like this is ended as a crash, which is safe. */
  async stop(): Promise<void> {
    for (const [signal, limitMs] of [
      ['SIGINT', FAST_STOP_MS],
      ['SIGQUIT', IMMEDIATE_STOP_MS],
    ] as const) {
      this.#child.kill(signal);
      if (await this.#endsWithin(limitMs)) return;
    }
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async #endsWithin(limitMs: number): Promise<boolean> {
    const limit = new AbortController();
    const late = delay(limitMs, false, { signal: limit.signal }).catch(() => false);
    const ended = await Promise.race([this.#ended.then(() => true), late]);
    limit.abort();
    return ended;
  }
}

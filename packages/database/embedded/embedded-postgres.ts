/**
 * A PostgreSQL of our own below one directory: made at the first start, restarted when it dies, stopped when disposed, gone
 * when this process goes. Below the directory lie `data`, `socket`, `lock` and the programs (runtime.ts).
 *
 * States: starting -> running -> (postmaster died) restarting -> running; any -> stopped.
 */
import { chmod, mkdir, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/base';
import { type DataDirectory, embeddedRole, makePrivateDirectory, prepareData } from './data-directory.ts';
import { lockDirectory } from './directory-lock.ts';
import { directoryError } from './embedded-errors.ts';
import { PostgresProcess, type PostgresStart } from './postgres-process.ts';
import { installRuntime } from './runtime.ts';
import { chooseUser } from './unprivileged-user.ts';

export type EmbeddedOptions = {
  /** Absolute; made when missing. On a local file system. */
  readonly directory: string;
  /** Each line that PostgreSQL logs, and what the supervisor does about its end. */
  readonly log?: ((line: string) => void) | undefined;
};

export type EmbeddedConnection = { readonly host: string; readonly user: string; readonly database: string };

/** How one connects to the PostgreSQL in this directory. */
export function connectionOf(directory: string): EmbeddedConnection {
  return { host: join(directory, 'socket'), user: embeddedRole, database: 'postgres' };
}

export interface EmbeddedPostgres extends AsyncDisposable {
  readonly connection: EmbeddedConnection;
  /** Of the postmaster that runs now. */
  readonly pid: number;
  /** Resolves at once while it runs, and after its restart while it does not. @throws database_unreachable after 20 s */
  ready(): Promise<void>;
}

/** sockaddr_un holds 107 characters; PostgreSQL adds `/.s.PGSQL.5432`. */
const DIRECTORY_LIMIT_BYTES = 107 - '/socket/.s.PGSQL.5432'.length;

const READY_LIMIT_MS = 20_000;

/** Before each attempt to restart; then the last one again and again: a full disk is freed some time. */
const RESTART_DELAYS_MS = [0, 100, 300, 1000, 3000, 10_000] as const;

/**
 * The first start takes 3 s, later ones 0.1 s (docs/adr/0013). Dies with the thread that calls this.
 * @throws database_busy database_unsupported database_full database_directory_unusable database_failed
 */
export async function startEmbeddedPostgres({
  directory,
  log = () => undefined,
}: EmbeddedOptions): Promise<EmbeddedPostgres> {
  await using stack = new AsyncDisposableStack();
  const place = await makePlace(directory);
  const lock = stack.use(await lockDirectory({ directory: place }));
  const runtime = await installRuntime({ directory: place });
  const data = join(place, 'data');
  const user = await chooseUser({ data });
  const prepared: DataDirectory = { directory: place, data, runtime, user, lockDescriptor: lock.descriptor };
  await prepareData(prepared);
  const socketDirectory = connectionOf(place).host;
  await makePrivateDirectory(socketDirectory, user);
  const start: PostgresStart = { ...prepared, socketDirectory, log };
  return new Supervisor({ start, first: await PostgresProcess.start(start), owned: stack.move() });
}

/** @returns its real path: what PostgreSQL shows as its working directory */
async function makePlace(directory: string): Promise<string> {
  try {
    await mkdir(directory, { recursive: true });
    const place = await realpath(directory);
    const names = await readdir(place);
    if (names.length > 0 && !names.includes('lock')) throw notOurs(place, names);
    // The user that runs PostgreSQL has to get to its own directories in here; nobody need see what there is.
    if (process.getuid?.() === 0) await chmod(place, 0o711);
    if (Buffer.byteLength(place) <= DIRECTORY_LIMIT_BYTES) return place;
  } catch (error) {
    throw directoryError(directory, error);
  }
  const detail = `The path of a socket in ${directory} would be too long: ${DIRECTORY_LIMIT_BYTES} bytes are the most.`;
  throw new HoldfastError('database_directory_unusable', detail, { remedy: 'Use a directory with a shorter path.' });
}

function notOurs(place: string, names: readonly string[]): HoldfastError {
  const detail = `${place} holds other things than a database: ${names.slice(0, 5).join(', ')}.`;
  return new HoldfastError('database_directory_unusable', detail, { remedy: 'Use a directory of its own.' });
}

class Supervisor implements EmbeddedPostgres {
  readonly connection: EmbeddedConnection;
  readonly #start: PostgresStart;
  readonly #owned: AsyncDisposableStack;
  readonly #stopping = new AbortController();
  readonly #supervision: Promise<void>;
  #running: PostgresProcess;
  #ready: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(options: {
    readonly start: PostgresStart;
    readonly first: PostgresProcess;
    readonly owned: AsyncDisposableStack;
  }) {
    this.#start = options.start;
    this.#running = options.first;
    this.#owned = options.owned;
    this.connection = connectionOf(options.start.directory);
    this.#supervision = this.#supervise();
  }

  get pid(): number {
    return this.#running.pid;
  }

  async ready(): Promise<void> {
    const limit = new AbortController();
    const late = delay(READY_LIMIT_MS, 'late', { signal: limit.signal }).catch(() => 'in time');
    const outcome = await Promise.race([this.#ready, late]);
    limit.abort();
    if (outcome !== 'late' && !this.#stopping.signal.aborted) return;
    const what = outcome === 'late' ? 'ended and cannot be started again' : 'was stopped';
    throw new HoldfastError('database_unreachable', `The embedded database ${what}.`, {
      cause: this.#failure,
      remedy: this.#failure instanceof HoldfastError ? this.#failure.remedy : 'Start the server again.',
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running.stop();
    await this.#supervision;
    await this.#owned.disposeAsync();
  }

  async #supervise(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#running.ended;
      if (this.#stopping.signal.aborted) return;
      this.#start.log(`supervisor: PostgreSQL ended, starting it again: ${this.#running.failure().message}`);
      const restarted = Promise.withResolvers<void>();
      this.#ready = restarted.promise;
      await this.#restart();
      restarted.resolve();
    }
  }

  async #restart(): Promise<void> {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt += 1) {
      const ms = RESTART_DELAYS_MS[Math.min(attempt, RESTART_DELAYS_MS.length - 1)];
      await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      try {
        this.#running = await PostgresProcess.start(this.#start);
        // Disposed meanwhile: the one that was stopped was the one before.
        if (this.#stopping.signal.aborted) await this.#running.stop();
        return;
      } catch (error) {
        this.#failure = error;
        this.#start.log(`supervisor: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}

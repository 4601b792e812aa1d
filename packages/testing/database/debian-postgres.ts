/** Debian's own PostgreSQL as somebody else's server: over TCP on the loopback, with a password. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../free-port.ts';
import { runProgram } from '../guests/run-program.ts';

export interface DebianPostgres extends AsyncDisposable {
  /** `postgresql://owner:secret@127.0.0.1:PORT/postgres`, of a superuser. */
  readonly url: string;
  readonly pid: number;
  /** Kill -9 of the postmaster. */
  kill(): Promise<void>;
  /** After a kill; at the same address. */
  start(): Promise<void>;
}

const BINARIES = '/usr/lib/postgresql/15/bin';

/** Any user that is not root; it has no files of its own. */
const NOBODY = 65534;

/** Undefined where Debian's PostgreSQL 15 is not installed. */
export async function startDebianPostgres(): Promise<DebianPostgres | undefined> {
  if (
    !(await access(BINARIES).then(
      () => true,
      () => false,
    ))
  )
    return undefined;
  const directory = await mkdtemp(join(tmpdir(), 'pg15-'));
  await chmod(directory, 0o755);
  const data = join(directory, 'data');
  await mkdir(data, { mode: 0o700 });
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, 'secret\n', { mode: 0o644 });
  if (process.getuid?.() === 0) await chown(data, NOBODY, NOBODY);
  const [program = '', ...args] = asUser([
    `${BINARIES}/initdb`,
    `--pgdata=${data}`,
    '--username=owner',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
  ]);
  await runProgram({ program, args });
  const server = new Server({ directory, data, port: await freePort() });
  await server.start();
  return server;
}

class Server implements DebianPostgres {
  readonly #directory: string;
  readonly #data: string;
  readonly #port: number;
  #child: ChildProcess | undefined;

  constructor(options: { readonly directory: string; readonly data: string; readonly port: number }) {
    this.#directory = options.directory;
    this.#data = options.data;
    this.#port = options.port;
  }

  get url(): string {
    return `postgresql://owner:secret@127.0.0.1:${this.#port}/postgres`;
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  async start(): Promise<void> {
    const settings = ['listen_addresses=127.0.0.1', `port=${this.#port}`, 'unix_socket_directories='];
    const args = settings.flatMap((setting) => ['-c', setting]);
    const [program = '', ...rest] = asUser([`${BINARIES}/postgres`, '-D', this.#data, ...args]);
    const child = spawn('setpriv', ['--pdeathsig=QUIT', program, ...rest], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    this.#child = child;
    const lines: string[] = [];
    const ready = Promise.withResolvers<void>();
    createInterface({ input: child.stderr }).on('line', (line) => {
      lines.push(line);
      if (line.endsWith('ready to accept connections')) ready.resolve();
    });
    child.once('close', () => ready.reject(new Error(lines.join('\n'))));
    await ready.promise;
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('SIGQUIT');
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'close');
  }
}

/** PostgreSQL refuses to be root. */
function asUser(command: readonly string[]): readonly string[] {
  if (process.getuid?.() !== 0) return command;
  return ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--pdeathsig=QUIT', ...command];
}

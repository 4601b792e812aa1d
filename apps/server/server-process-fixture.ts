/** Runs the real `bin/holdfast server`, as a supervisor would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastClient } from '@holdfast/client';
import { type NodeTransport, nodeTransport } from '@holdfast/client/node';

export const program = join(import.meta.dirname, '../../bin/holdfast');

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

export interface ServerProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** The first object of --json of this type. @throws Error when the server ends without it */
  told(type: string): Promise<Readonly<Record<string, unknown>>>;
  readonly ended: Promise<Ended>;
  stop(signal?: NodeJS.Signals): Promise<Ended>;
}

export type Environment = Readonly<Record<string, string>>;

/** With `--json`. Settings of the surroundings are not inherited. Disposing kills it, should it still run. */
export function startServer(environment: Environment, words: readonly string[] = []): ServerProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(HOLDFAST_|DATABASE_URL$|PG)/.test(name));
  const child = spawn(program, ['server', '--json', ...words], {
    env: { ...Object.fromEntries(inherited), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  }
  const ended = once(child, 'close').then(([code]: unknown[]): Ended => {
    return { code: typeof code === 'number' ? code : null, ...printed };
  });
  const find = (type: string) =>
    printed.stdout
      .slice(0, printed.stdout.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
      .find((object) => object['type'] === type);
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> => {
    child.kill(signal);
    return await ended;
  };
  return {
    child,
    ended,
    stop,
    async told(type) {
      for (;;) {
        const found = find(type);
        if (found) return found;
        const end = await Promise.race([ended, once(child.stdout, 'data').then(() => undefined)]);
        if (end && !find(type))
          throw new Error(`the server ended (${end.code}) without ${type}\n${end.stdout}${end.stderr}`);
      }
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) await stop('SIGKILL');
    },
  };
}

export type Connection = Disposable & {
  readonly client: HoldfastClient;
  readonly transport: NodeTransport;
  readonly url: string;
};

/** To a server that is ready, trusting its CA. @param token undefined for what is public */
export async function connectTo(server: ServerProcess, token?: string): Promise<Connection> {
  const { url, ca_file: caFile } = await server.told('ready');
  const transport = nodeTransport({ ca: typeof caFile === 'string' ? await readFile(caFile, 'utf8') : undefined });
  return {
    client: new HoldfastClient({ server: String(url), token, transport }),
    transport,
    url: String(url),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

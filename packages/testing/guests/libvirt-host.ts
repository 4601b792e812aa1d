/**
 * A libvirt of its own for one test file: libvirtd with private configuration, state and sockets, in namespaces of mounts
 * and processes. It never meets a libvirt of the machine, any number live side by side, and nothing outlives it: its
 * first process ends when our end of its input closes, also by kill -9 of the test, and the kernel ends the rest.
 *
 * Files have the same paths inside and outside, except below /var/lib/libvirt, /run/libvirt and so on, which are in
 * `directory`. QEMU runs as libvirt-qemu, as it does on Debian: directories for its sockets must let it in.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GuestOptions, makeGuest, type TinyGuest, waitForAgent } from './tiny-guest.ts';
import { freePort } from '../free-port.ts';
import { guestCaches } from './guest-images.ts';
import { runProgram } from './run-program.ts';

export interface LibvirtHost extends AsyncDisposable {
  /** For `virsh --connect`. */
  readonly uri: string;
  /** The same host as others see it, over TCP on the loopback; only of one that was started with `remote`. */
  readonly remoteUri: string | undefined;
  /** Everybody may enter it; gone at the end. */
  readonly directory: string;
  /** What this host has as /var/lib/libvirt. */
  readonly stateDirectory: string;
  virsh(...args: readonly string[]): Promise<string>;
  /** Runs a program among the processes and mounts of this host. */
  run(program: string, ...args: readonly string[]): Promise<string>;
  /** Also of a machine that was not made here. @throws Error when it does not answer within 180 s */
  waitForAgent(name: string): Promise<void>;
  /** A defined guest, not started. Its images lie in `directory`. */
  makeGuest(options?: GuestOptions): Promise<TinyGuest>;
  /** Guests go on. */
  killLibvirtd(): Promise<void>;
  /** After a kill: the same host again. */
  startLibvirtd(): Promise<void>;
  /** Kill -9, as a crash of QEMU. */
  killQemu(guestName: string): Promise<void>;
}

/** Directories of a host, and where it sees them. */
const privatePlaces = {
  etc: '/etc/libvirt',
  lib: '/var/lib/libvirt',
  run: '/run/libvirt',
  log: '/var/log/libvirt',
} as const;

/** As root; a start takes 0.5 s. @throws Error with libvirtd's own words */
export async function startLibvirtHost({ remote = false } = {}): Promise<LibvirtHost> {
  const directory = await mkdtemp(join(tmpdir(), 'lv-'));
  let first: FirstProcess | undefined;
  const end = async (): Promise<void> => {
    await first?.end();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await chmod(directory, 0o755);
    const tcpPort = remote ? await freePort() : undefined;
    await writeConfiguration(directory, tcpPort);
    first = await startNamespaces(directory);
    const host = new PrivateHost({ directory, pid: first.pid, tcpPort, end });
    await host.startLibvirtd();
    return host;
  } catch (error) {
    await end();
    throw error;
  }
}

async function writeConfiguration(directory: string, tcpPort: number | undefined): Promise<void> {
  for (const place of Object.keys(privatePlaces)) await mkdir(join(directory, place), { mode: 0o755 });
  const daemon = ['unix_sock_group = "root"', 'auth_unix_rw = "none"', 'listen_tls = 0'];
  if (tcpPort !== undefined)
    daemon.push(`tcp_port = "${tcpPort}"`, 'listen_addr = "127.0.0.1"', 'listen_tcp = 1', 'auth_tcp = "none"');
  await writeFile(join(directory, 'etc/libvirtd.conf'), `${daemon.join('\n')}\n`);
  const qemu = [
    'cgroup_controllers = []', // a container has none to give
    'stdio_handler = "file"', // no virtlogd
    'security_driver = "none"',
    'remember_owner = 0',
  ];
  await writeFile(join(directory, 'etc/qemu.conf'), `${qemu.join('\n')}\n`);
}

function bind(own: string, place: string): string {
  return `mkdir -p ${place} && mount --bind '${own}' ${place}`;
}

type FirstProcess = {
  readonly pid: number;
  /** Ends every process of the host and waits for it. */
  end(): Promise<void>;
};

async function startNamespaces(directory: string): Promise<FirstProcess> {
  await mkdir(guestCaches.capabilities, { recursive: true });
  const mounts = [
    ...Object.entries(privatePlaces).map(([own, place]) => bind(join(directory, own), place)),
    bind(guestCaches.capabilities, '/var/cache/libvirt'),
    // It may be there and hang. QEMU's user must not get in either: libvirt would take what it knows of every QEMU for
    // out of date, and ask them all again, 8 s at each host.
    `[ ! -e /dev/kvm ] || { mknod -m 000 '${directory}/no-kvm' c 1 3 && mount --bind '${directory}/no-kvm' /dev/kvm; }`,
  ];
  // bash, as the first process, buries the dead: libvirt waits for the end of a QEMU that it has killed.
  const commands = ['set -e', ...mounts, 'echo ready', 'while read -r _; do :; done'].join('\n');
  const unshare = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...unshare, 'bash', '-c', commands], { stdio: ['pipe', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', () => reject(new Error(`no namespaces for a private libvirt (root is needed): ${errors}`)));
  });
  await Promise.race([once(child.stdout, 'data'), failed]);
  failed.catch(() => undefined);
  // A test that forgets its host ends all the same, and its host with it.
  child.unref();
  for (const pipe of [child.stdin, child.stdout, child.stderr]) (pipe as Socket).unref();
  return {
    pid: child.pid ?? -1,
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.ref();
      child.stdin.end();
      await ended;
    },
  };
}

class PrivateHost implements LibvirtHost {
  readonly directory: string;
  readonly stateDirectory: string;
  readonly uri: string;
  readonly remoteUri: string | undefined;
  readonly #pid: number;
  readonly #end: () => Promise<void>;

  constructor(options: { directory: string; pid: number; tcpPort: number | undefined; end: () => Promise<void> }) {
    const { directory, pid, tcpPort, end } = options;
    this.directory = directory;
    this.stateDirectory = join(directory, 'lib');
    this.uri = `qemu:///system?socket=${join(directory, 'run/libvirt-sock')}`;
    this.remoteUri = tcpPort === undefined ? undefined : `qemu+tcp://127.0.0.1:${tcpPort}/system`;
    this.#pid = pid;
    this.#end = end;
  }

  async virsh(...args: readonly string[]): Promise<string> {
    return await runProgram({ program: 'virsh', args: ['--quiet', '--connect', this.uri, ...args] });
  }

  async run(program: string, ...args: readonly string[]): Promise<string> {
    const namespaces = [`--mount=/proc/${this.#pid}/ns/mnt`, `--pid=/proc/${this.#pid}/ns/pid_for_children`];
    return await runProgram({ program: 'nsenter', args: [...namespaces, program, ...args] });
  }

  async waitForAgent(name: string): Promise<void> {
    await waitForAgent(this, name);
  }

  async makeGuest(options: GuestOptions = {}): Promise<TinyGuest> {
    return await makeGuest(this, options);
  }

  async startLibvirtd(): Promise<void> {
    const log = join(this.directory, 'log/libvirtd.log');
    try {
      // Ready when it returns. Its output would keep a pipe of ours open. The user that a TPM is made by cannot write into a
      // temporary directory of the tests.
      await this.run(
        'sh',
        '-c',
        `exec env -u TMPDIR libvirtd --daemon ${this.remoteUri === undefined ? '' : '--listen'} --pid-file /run/libvirt/libvirtd.pid >> '${log}' 2>&1`,
      );
    } catch (cause) {
      throw new Error(`libvirtd did not start: ${await readFile(log, 'utf8').catch(() => 'no log')}`, { cause });
    }
  }

  async killLibvirtd(): Promise<void> {
    await this.#kill('libvirtd.pid');
  }

  async killQemu(guestName: string): Promise<void> {
    await this.#kill(`qemu/${guestName}.pid`);
  }

  /** Returns when the process is gone. */
  async #kill(pidFile: string): Promise<void> {
    const pid = (await readFile(join(this.directory, 'run', pidFile), 'utf8')).trim();
    await this.run('sh', '-c', `kill -KILL ${pid} && while kill -0 ${pid} 2>/dev/null; do sleep 0.01; done`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}

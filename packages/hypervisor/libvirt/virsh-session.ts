/**
 * A virsh that stays: one connection for many calls, half a millisecond each where a process of its own costs 17 to 20. It
 * stands in a session of its own like any virsh of ours, does not keep this program from ending, and ends with it.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  OUTPUT_LIMIT_BYTES,
  type VirshEnd,
  type VirshProcess,
  virshMissing,
  virshNotInstalled,
} from './virsh-process.ts';
import { quoted } from './virsh-words.ts';

/** Readline reads the line: what is no printable ASCII are its commands, and long lines cost it time (36 ms for 15 000). */
const LINE_LIMIT = 4000;
/** More than can follow the mark: the next prompt. */
const TAIL_BYTES = 256;
/** Said about the connection, not about the call, when libvirtd was restarted between two calls. */
const ABOUT_CONNECTION = /^error: (Disconnected from .*|Reconnected to the hypervisor)\n/gm;

/** Those that live, for the end of this program. */
const living = new Set<ChildProcessWithoutNullStreams>();
process.on('exit', () => {
  // Not by closing its input: it would add our calls to the user's history of virsh.
  for (const child of living) child.kill('SIGKILL');
});

/** As many sessions as calls were ever under way at once: a call that waits keeps no other waiting. */
export class VirshSessions {
  readonly #uri: string;
  readonly #idle: VirshSession[] = [];

  constructor(uri: string) {
    this.#uri = uri;
  }

  /** Whether a session can take these words; a process of its own takes any. */
  static takes(words: readonly string[]): boolean {
    const line = words.map(quoted).join(' ');
    return line.length <= LINE_LIMIT && /^[ -~]*$/.test(line);
  }

  /** As `runVirshProcess`; an abort or the time limit ends the session. Exit code 1 for a call that said "error:". */
  async run({ words, timeoutMs, signal }: Omit<VirshProcess, 'uri'>): Promise<VirshEnd> {
    signal?.throwIfAborted();
    let session = this.#idle.pop();
    while (session?.hasEnded) session = this.#idle.pop();
    session ??= new VirshSession(this.#uri);
    const end = await session.call({ words, timeoutMs, signal });
    if (!session.hasEnded) this.#idle.push(session);
    signal?.throwIfAborted();
    if (end.code === virshNotInstalled) throw virshMissing();
    return end;
  }
}

class VirshSession {
  readonly #child: ChildProcessWithoutNullStreams;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #tail = '';
  #stderr = '';
  /** Set when it has ended: its exit code, the name of a signal, or why it did not start. */
  #code: number | string | undefined;
  #look: () => void = () => undefined;

  constructor(uri: string) {
    // Unbuffered: virsh flushes its output at its end only.
    const virsh = ['stdbuf', '-o0', 'virsh', '--quiet', '--connect', uri];
    const env = ['LC_ALL=C', 'TERM=dumb', 'INPUTRC=/dev/null'];
    const child = spawn('env', ['--ignore-signal=PIPE', ...env, ...virsh], { detached: true });
    this.#child = child;
    living.add(child);
    child.stdin.on('error', () => undefined);
    child.stdout.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#bytes > OUTPUT_LIMIT_BYTES) {
        child.kill('SIGKILL');
        return;
      }
      this.#chunks.push(chunk);
      this.#tail = (this.#tail + chunk.toString('latin1')).slice(-TAIL_BYTES);
      this.#look();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#look();
    });
    const ended = (code: number | string): void => {
      this.#code ??= code;
      living.delete(child);
      this.#look();
    };
    child.on('error', (error) => ended(error.message));
    child.on('close', (code, signalName) => ended(code ?? signalName ?? 'unknown'));
  }

  get hasEnded(): boolean {
    return this.#code !== undefined;
  }

  /** One at a time. */
  async call({ words, timeoutMs, signal }: Omit<VirshProcess, 'uri'>): Promise<VirshEnd> {
    this.#chunks = [];
    this.#bytes = 0;
    this.#tail = '';
    this.#stderr = '';
    const kill = (): void => void this.#child.kill('SIGKILL');
    const limit = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([limit, ...(signal ? [signal] : [])]);
    stop.addEventListener('abort', kill, { once: true });
    // virsh puts "error: " before a mark on stderr and nothing after one on stdout. Its echo of the line has the quotes.
    const id = randomUUID();
    const [begin, end] = [`begin-${id}`, `end-${id}`];
    const mark = (text: string): string => `${text.slice(0, 1)}${quoted(text.slice(1))}`;
    const call = words.map(quoted).join(' ');
    const line = `echo ${mark(begin)}; ${call}; echo --err ${mark(end)}; echo ${mark(end)}\n`;
    const errorMark = `error: ${end}\n`;
    this.#setHolding(true);
    try {
      await new Promise<void>((resolve) => {
        this.#look = () => {
          if (this.hasEnded || (this.#tail.includes(end) && this.#stderr.includes(errorMark))) resolve();
        };
        this.#child.stdin.write(line);
        this.#look();
      });
    } finally {
      this.#look = () => undefined;
      this.#setHolding(false);
      stop.removeEventListener('abort', kill);
    }
    const said = Buffer.concat(this.#chunks).toString('utf8');
    const [stderr = ''] = this.#stderr.replaceAll(ABOUT_CONNECTION, '').split(errorMark);
    if (this.#code !== undefined) {
      const timedOut = limit.aborted;
      return { code: this.#code === 0 ? 'its end' : this.#code, stdout: '', stderr, timedOut };
    }
    const stdout = said.slice(said.indexOf(begin) + begin.length, said.lastIndexOf(end));
    return { code: /^error: /m.test(stderr) ? 1 : 0, stdout, stderr, timedOut: false };
  }

  /** Whether this program waits for it before it ends. */
  #setHolding(isHolding: boolean): void {
    const { stdin, stdout, stderr } = this.#child;
    // Pipes are sockets, which @types/node does not say.
    for (const handle of [this.#child, stdin, stdout, stderr] as readonly { ref?(): void; unref?(): void }[]) {
      if (isHolding) handle.ref?.();
      else handle.unref?.();
    }
  }
}

/**
 * Boots a disk made by `fixtures/make-guest.sh disk-tiny` as a machine would, from its own boot sector, and reads what
 * the guest says on its serial console. Emulated (TCG), so it needs no KVM: 6 to 8 s to the marker on two cores.
 */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';

export type GuestReport = {
  /** Every file matched the checksum stored beside it. */
  readonly filesOk: boolean;
  /** SHA-256 of the guest's list of file checksums, as found at boot. */
  readonly checksum: string;
  /** The same after the guest had changed its disk. */
  readonly left: string;
  /** How many times this disk has been booted, this time included. */
  readonly boot: number;
};

export type BootRequest = {
  readonly image: string;
  readonly format: 'raw' | 'qcow2';
  /** `throw-away`: the guest's writes go nowhere. `keep`: they go to the image, and the guest powers itself off. */
  readonly writes: 'keep' | 'throw-away';
  readonly serialLog: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
};

/** @throws Error with the serial log's place when the guest does not come up in time; QEMU has ended in every case. */
export async function bootGuest(request: BootRequest): Promise<GuestReport> {
  const timeout = AbortSignal.timeout(request.timeoutMs);
  const signal = AbortSignal.any([request.signal, timeout]);
  const drive = `file=${request.image.replaceAll(',', ',,')},format=${request.format},if=virtio,discard=unmap`;
  const qemu = ['qemu-system-x86_64', '-accel', 'tcg', '-m', '256', '-no-reboot', '-nic', 'none'];
  const devices = ['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-drive', drive];
  const snapshot = request.writes === 'throw-away' ? ['-snapshot'] : [];
  // --pdeathsig: even a kill -9 of this process leaves no machine behind.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...qemu, ...devices, ...snapshot], { signal });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });

  const log = createWriteStream(request.serialLog);
  let errors = '';
  child.stderr.on('data', (data: Buffer) => {
    errors += data.toString();
  });
  child.stdin.on('error', () => undefined); // it may be gone before it reads "poweroff"
  child.stdout.pipe(log);

  const heard = new Map<string, string>();
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const [, topic, rest] = /GUEST (\w+) ?(.*)/.exec(line) ?? [];
      if (topic === undefined) continue;
      heard.set(topic, rest?.trim() ?? '');
      if (topic !== 'ready') continue;
      if (request.writes === 'throw-away') break;
      child.stdin.write('poweroff\n');
    }
  } finally {
    if (request.writes === 'throw-away' || !heard.has('ready')) child.kill('SIGKILL');
    await ended;
    log.end();
  }
  request.signal.throwIfAborted();
  const complete = request.writes === 'keep' ? heard.has('off') : heard.has('ready');
  if (!complete) {
    const why = timeout.aborted ? `not within ${request.timeoutMs / 1000} s` : 'QEMU ended early';
    throw new Error(
      `the guest of ${request.image} did not come up (${why}); see ${request.serialLog}\n${errors}`.trimEnd(),
    );
  }
  return {
    filesOk: heard.get('files') === 'ok',
    checksum: heard.get('checksum') ?? '',
    left: heard.get('left') ?? '',
    boot: Number.parseInt(heard.get('ready')?.replace('boot ', '') ?? '', 10),
  };
}

/**
 * A real guest under a private libvirt: a tiny one (busybox, guest agent, and a writer that is busy on every disk), or a
 * whole Debian with databases.
 */
import { randomBytes } from 'node:crypto';
import { chmod, constants, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MiB } from '@holdfast/base';
import { copyImage, type GuestKernel, makeDataDisk, provideDebian, provideGuestKernel } from './guest-images.ts';

export type GuestDisk = { readonly format: 'qcow2' | 'raw'; readonly sizeBytes?: number };

export type GuestOptions = {
  /** Made up when absent. */
  readonly name?: string;
  /**
   * `debian`: boots from vda, a copy of what fixtures/make-debian-guest.sh makes, with PostgreSQL and MariaDB; it has no other
   * disks and no writer. `tiny` when absent.
   */
  readonly system?: 'tiny' | 'debian';
  /** vda, vdb and so on, with an ext4 file system each; one qcow2 of 64 MiB when absent. */
  readonly disks?: readonly GuestDisk[];
  /** Pause of the writer between two records, in milliseconds; `off` for a guest that writes nothing. */
  readonly writer?: number | 'off';
  /** False for a guest without the agent's channel. */
  readonly agent?: boolean;
  /** `uefi`: OVMF without Secure Boot, with a variable store that libvirt makes; `bios` when absent. */
  readonly firmware?: 'bios' | 'uefi';
  /** More devices, as XML. */
  readonly devices?: string;
};

export type TinyGuest = {
  readonly name: string;
  /** Image files in the order of the guest's disks. */
  readonly images: readonly string[];
  /** As defined. */
  readonly xml: string;
  /** Returns when the agent answers (3 s for a tiny guest, 15 s and more for Debian), or at once for a guest without one. */
  start(): Promise<void>;
  waitForAgent(): Promise<void>;
  /** Pulls the plug. */
  destroy(): Promise<void>;
  /** Takes its definition away, with all that libvirt keeps beside it. */
  undefine(): Promise<void>;
  /** What the guest said on its serial console. */
  console(): Promise<string>;
};

/** What a guest needs of the host it lives on. */
export type GuestHost = {
  readonly directory: string;
  virsh(...args: readonly string[]): Promise<string>;
};

/** Counted, not timed: while a loaded machine stands still, nothing is counted. 180 s. */
const AGENT_ATTEMPTS = 1200;
const AGENT_PAUSE_MS = 150;

export async function makeGuest(host: GuestHost, options: GuestOptions): Promise<TinyGuest> {
  const name = options.name ?? `guest-${randomBytes(3).toString('hex')}`;
  const make = options.system === 'debian' ? makeDebian : makeTiny;
  const { images, ...system } = await make({ host, name, options });
  const serialLog = join(host.directory, `${name}.console`);
  const xml = guestXml({ name, images, serialLog, system, options });
  const definition = join(host.directory, `${name}.xml`);
  await writeFile(definition, xml);
  await host.virsh('define', definition);
  const hasAgent = options.agent ?? true;
  const waitForThisAgent = async (): Promise<void> => {
    try {
      await waitForAgent(host, name);
    } catch (cause) {
      throw new Error(`${String(cause)}; its console:\n${await readConsole(serialLog)}`, { cause });
    }
  };
  return {
    name,
    images,
    xml,
    waitForAgent: waitForThisAgent,
    async start() {
      await host.virsh('start', name);
      if (hasAgent) await waitForThisAgent();
    },
    async destroy() {
      await host.virsh('destroy', name);
    },
    async undefine() {
      await host.virsh('undefine', name, '--nvram', '--checkpoints-metadata', '--snapshots-metadata', '--managed-save');
    },
    console: () => readConsole(serialLog),
  };
}

/** @throws Error when it does not answer within 180 s */
export async function waitForAgent(host: Pick<GuestHost, 'virsh'>, name: string): Promise<void> {
  for (let attempt = 1; attempt <= AGENT_ATTEMPTS; attempt++) {
    try {
      await host.virsh('qemu-agent-command', name, '{"execute":"guest-ping"}');
      return;
    } catch {
      await sleep(AGENT_PAUSE_MS);
    }
  }
  throw new Error(`the agent of ${name} does not answer`);
}

type Making = { readonly host: GuestHost; readonly name: string; readonly options: GuestOptions };

type GuestSystem = { readonly kernel: GuestKernel; readonly commandLine: string; readonly memoryMiB: number };

type MadeSystem = GuestSystem & { readonly images: readonly string[] };

async function makeTiny({ host, name, options }: Making): Promise<MadeSystem> {
  const disks = options.disks ?? [{ format: 'qcow2' }];
  const images = disks.map(({ format }, index) => join(host.directory, `${name}-${diskName(index)}.${format}`));
  for (const [index, { format, sizeBytes = 64 * MiB }] of disks.entries()) {
    await makeDataDisk({ path: images[index] ?? '', index, sizeBytes, format });
  }
  const kernel = await copyKernel(host, await provideGuestKernel(), '');
  const writer = options.writer ?? 20;
  return { images, kernel, commandLine: writer === 'off' ? 'writer=0' : `interval=${writer}`, memoryMiB: 256 };
}

async function makeDebian({ host, name }: Making): Promise<MadeSystem> {
  const made = await provideDebian();
  const image = join(host.directory, `${name}-vda.qcow2`);
  await copyImage(made.disk, image);
  const kernel = await copyKernel(host, made, 'debian-');
  const commandLine = 'root=/dev/vda ro net.ifnames=0 mitigations=off systemd.show_status=0';
  return { images: [image], kernel, commandLine, memoryMiB: 768 };
}

function diskName(index: number): string {
  return `vd${'abcdefghijklmnop'.charAt(index)}`;
}

async function readConsole(serialLog: string): Promise<string> {
  return await readFile(serialLog, 'utf8').catch(() => '(empty)');
}

/** A copy, as the checkout may lie where only root can go. */
async function copyKernel({ directory }: GuestHost, made: GuestKernel, prefix: string): Promise<GuestKernel> {
  const own = { kernel: join(directory, `${prefix}vmlinuz`), initrd: join(directory, `${prefix}initrd.img`) };
  for (const part of ['kernel', 'initrd'] as const) {
    await copyFile(made[part], own[part], constants.COPYFILE_FICLONE);
    await chmod(own[part], 0o644);
  }
  return own;
}

const firmware = {
  bios: "<type arch='x86_64' machine='pc'>hvm</type>",
  uefi: `<type arch='x86_64' machine='q35'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>`,
} as const;

/** Emulated: /dev/kvm may be there and hang all the same (docs/design/hypervisor.md). */
function guestXml(guest: {
  readonly name: string;
  readonly images: readonly string[];
  readonly serialLog: string;
  readonly system: GuestSystem;
  readonly options: GuestOptions;
}): string {
  const { name, images, serialLog, system, options } = guest;
  const { kernel, commandLine, memoryMiB } = system;
  const disks = images.map(
    (image, index) => `<disk type='file' device='disk'>
      <driver name='qemu' type='${image.endsWith('.raw') ? 'raw' : 'qcow2'}' cache='none' discard='unmap'/>
      <source file='${image}'/><target dev='${diskName(index)}' bus='virtio'/>
    </disk>`,
  );
  const agent = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
  return `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>${memoryMiB}</memory>
  <vcpu>1</vcpu>
  <os>
    ${firmware[options.firmware ?? 'bios']}
    <kernel>${kernel.kernel}</kernel>
    <initrd>${kernel.initrd}</initrd>
    <cmdline>console=ttyS0 quiet ${commandLine}</cmdline>
  </os>
  <features><acpi/></features>
  <on_crash>destroy</on_crash>
  <devices>
    ${disks.join('\n    ')}
    <serial type='file'><source path='${serialLog}'/></serial>
    ${(options.agent ?? true) ? agent : ''}
    <memballoon model='none'/>
    ${options.devices ?? ''}
  </devices>
</domain>
`;
}

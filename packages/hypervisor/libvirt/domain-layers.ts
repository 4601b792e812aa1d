/**
 * The layers of a running machine's disks: a new overlay on each of them at one moment, and the commit of one layer into the
 * one below it. What QEMU does here it does while the guest goes on.
 */
import { type HoldfastError, hasCode } from '@holdfast/base';
import type { CallOptions } from './domain.ts';
import type { DomainHandle } from './domain-handle.ts';
import { parseRoot } from './domain-xml/document.ts';
import { describeMirror } from './domain-xml/mirror.ts';
import { type FrozenRun, runFrozen } from './frozen-backup.ts';
import type { VirshRun } from './virsh.ts';
import { escapeXml } from './xml-text.ts';

export type NewOverlay = {
  /** `vda` */
  readonly target: string;
  /** Of an empty overlay on the topmost image, made before; absolute. */
  readonly path: string;
};

export type AddOverlays = {
  readonly overlays: readonly NewOverlay[];
  /** The machine's other disks, which get none. */
  readonly others: readonly string[];
} & CallOptions;

export type FrozenOverlays = Pick<FrozenRun, 'frozen' | 'thawed' | 'frozenMs'> & {
  readonly answered: true | HoldfastError;
};

/** What libvirt does with the layers of a disk at the moment. */
export type LayerJob =
  | { readonly kind: 'none' }
  /** `isReady`: the topmost layer is the same as the one below, and `pivot` makes that the topmost. */
  | { readonly kind: 'active'; readonly isReady: boolean; readonly doneBytes: number; readonly totalBytes: number }
  /** Ends by itself. */
  | { readonly kind: 'middle'; readonly doneBytes: number; readonly totalBytes: number }
  /** Of somebody else: a copy, a pull. */
  | { readonly kind: 'other'; readonly name: string };

export class DomainLayers {
  readonly #domain: DomainHandle;

  constructor(domain: DomainHandle) {
    this.#domain = domain;
  }

  /** All or none, of one moment. Also in the stored definition. @throws vm_busy, target_full, libvirt errors */
  async add(request: AddOverlays): Promise<void> {
    await this.#domain.virsh.run(this.#addRun(request));
  }

  /** The same with the guest's file systems frozen meanwhile, as `Domain.beginFrozenBackup`. */
  async addFrozen({
    agentTimeoutMs,
    ...request
  }: AddOverlays & { readonly agentTimeoutMs: number }): Promise<FrozenOverlays> {
    const run = this.#addRun(request);
    const { outcome, ...frozen } = await runFrozen({ ...this.#domain, run, agentTimeoutMs });
    return { ...frozen, answered: outcome.ok ? true : outcome.error };
  }

  #addRun({ overlays, others, signal }: AddOverlays): VirshRun {
    return {
      args: [
        'snapshot-create',
        this.#domain.uuid,
        '--disk-only',
        '--atomic',
        '--no-metadata',
        '--reuse-external',
        '--xmlfile',
      ],
      documents: [overlaysXml(overlays, others)],
      doing: `put overlays on the disks of ${this.#domain.name}`,
      signal,
    };
  }

  /**
   * Begins to write what the layer `top` holds into `base`, the one below it. `top` stays as it is until the job is done.
   * @throws vm_busy (another job, or a backup, works on the disk), libvirt errors
   */
  async beginCommit(
    request: {
      readonly target: string;
      readonly top: string;
      readonly base: string;
      /** `top` is the topmost layer, which the guest writes to. */
      readonly isActive: boolean;
    } & CallOptions,
  ): Promise<void> {
    const { target, top, base, isActive, signal } = request;
    const args = [
      'blockcommit',
      this.#domain.uuid,
      target,
      '--base',
      base,
      '--top',
      top,
      ...(isActive ? ['--active'] : []),
    ];
    await this.#domain.virsh.run({ args, doing: `commit ${top} of ${this.#domain.name}`, signal });
  }

  async job({ target, signal }: { readonly target: string } & CallOptions): Promise<LayerJob> {
    const doing = `look at the disk ${target} of ${this.#domain.name}`;
    const output = await this.#domain.virsh.run({
      args: ['blockjob', this.#domain.uuid, target, '--raw'],
      doing,
      signal,
    });
    const value = (name: string): string => new RegExp(`^\\s*${name}=(.*)$`, 'm').exec(output)?.[1]?.trim() ?? '';
    const type = value('type');
    if (type === '') return { kind: 'none' };
    const progress = { doneBytes: Number(value('cur')), totalBytes: Number(value('end')) };
    if (/^Block Commit$/i.test(type)) return { kind: 'middle', ...progress };
    if (!/^Active Block Commit$/i.test(type)) return { kind: 'other', name: type };
    const xml = await this.#domain.virsh.run({ args: ['dumpxml', this.#domain.uuid], doing, signal });
    return { kind: 'active', isReady: describeMirror(parseRoot(xml), target) === 'ready', ...progress };
  }

  /** The layer below becomes the topmost one, here and in the stored definition. @throws vm_busy when it is not ready */
  async pivot({ target, signal }: { readonly target: string } & CallOptions): Promise<void> {
    const args = ['blockjob', this.#domain.uuid, target, '--pivot'];
    await this.#domain.virsh.run({
      args,
      doing: `leave the topmost layer of ${target} of ${this.#domain.name}`,
      signal,
    });
  }

  /** The layers stay as they are. Ends well also when there is no job. */
  async cancel({ target, signal }: { readonly target: string } & CallOptions): Promise<void> {
    const args = ['blockjob', this.#domain.uuid, target, '--abort'];
    try {
      await this.#domain.virsh.run({ args, doing: `end the commit on ${target} of ${this.#domain.name}`, signal });
    } catch (error) {
      if (!hasCode(error, 'vm_state_invalid')) throw error;
    }
  }
}

function overlaysXml(overlays: readonly NewOverlay[], others: readonly string[]): string {
  const disks = [
    ...overlays.map(
      ({ target, path }) =>
        `<disk name='${escapeXml(target)}' snapshot='external' type='file'>` +
        `<driver type='qcow2'/><source file='${escapeXml(path)}'/></disk>`,
    ),
    ...others.map((target) => `<disk name='${escapeXml(target)}' snapshot='no'/>`),
  ];
  return `<domainsnapshot><disks>${disks.join('')}</disks></domainsnapshot>`;
}

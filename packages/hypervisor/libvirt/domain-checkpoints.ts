/** The checkpoints of one machine: moments since which QEMU notes what is written, in a bitmap on each disk. */
import type { CallOptions } from './domain.ts';
import type { DomainHandle } from './domain-handle.ts';

export class DomainCheckpoints {
  readonly #domain: DomainHandle;

  constructor(domain: DomainHandle) {
    this.#domain = domain;
  }

  /** Names, the oldest first. libvirt's view: whether the bitmaps are there and good shows when one is used. */
  async list({ signal }: CallOptions = {}): Promise<readonly string[]> {
    const { virsh, name, uuid } = this.#domain;
    const args = ['checkpoint-list', uuid, '--name', '--topological'];
    const output = await virsh.run({ args, doing: `list the checkpoints of ${name}`, signal });
    return output
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  }

  /** @throws checkpoint_not_found */
  async xml({ checkpoint, signal }: { readonly checkpoint: string } & CallOptions): Promise<string> {
    const { virsh, name, uuid } = this.#domain;
    const args = ['checkpoint-dumpxml', uuid, checkpoint];
    return await virsh.run({ args, doing: `read checkpoint ${checkpoint} of ${name}`, signal });
  }

  /**
   * With its bitmaps, which needs a running machine and good bitmaps; with `metadataOnly` libvirt just forgets it.
   * @throws checkpoint_not_found, checkpoint_inconsistent, vm_state_invalid (not running), vm_busy
   */
  async remove(options: { readonly checkpoint: string; readonly metadataOnly?: boolean } & CallOptions): Promise<void> {
    const { checkpoint, metadataOnly = false, signal } = options;
    const { virsh, name, uuid } = this.#domain;
    const args = ['checkpoint-delete', uuid, checkpoint, ...(metadataOnly ? ['--metadata'] : [])];
    await virsh.run({ args, doing: `remove checkpoint ${checkpoint} of ${name}`, signal });
  }

  /**
   * Tells libvirt of a checkpoint whose bitmaps are in the disks already. Only of a running machine can it see whether
   * they are, with `verify`.
   * @throws checkpoint_inconsistent
   */
  async redefine(options: { readonly xml: string; readonly verify: boolean } & CallOptions): Promise<void> {
    const { xml, verify, signal } = options;
    const { virsh, name, uuid } = this.#domain;
    const args = ['checkpoint-create', uuid, '--redefine', ...(verify ? ['--redefine-validate'] : []), '--xmlfile'];
    await virsh.run({ args, documents: [xml], doing: `redefine a checkpoint of ${name}`, signal });
  }
}

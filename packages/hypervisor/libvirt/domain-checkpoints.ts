/** The checkpoints of one machine: moments since which QEMU notes what is written, in a bitmap on each disk. */
import type { CallOptions } from './domain.ts';
import type { Virsh } from './virsh.ts';

export class DomainCheckpoints {
  readonly #virsh: Virsh;
  readonly #name: string;
  readonly #uuid: string;

  constructor({ virsh, name, uuid }: { virsh: Virsh; name: string; uuid: string }) {
    this.#virsh = virsh;
    this.#name = name;
    this.#uuid = uuid;
  }

  /** Names, the oldest first. libvirt's view: whether the bitmaps are there and good shows when one is used. */
  async list({ signal }: CallOptions = {}): Promise<readonly string[]> {
    const args = ['checkpoint-list', this.#uuid, '--name', '--topological'];
    const output = await this.#virsh.run({ args, doing: `list the checkpoints of ${this.#name}`, signal });
    return output
      .split('\n')
      .map((name) => name.trim())
      .filter((name) => name !== '');
  }

  /** @throws checkpoint_not_found */
  async xml({ checkpoint, signal }: { readonly checkpoint: string } & CallOptions): Promise<string> {
    const args = ['checkpoint-dumpxml', this.#uuid, checkpoint];
    return await this.#virsh.run({ args, doing: `read checkpoint ${checkpoint} of ${this.#name}`, signal });
  }

  /**
   * With its bitmaps, which needs a running machine and good bitmaps; with `metadataOnly` libvirt just forgets it.
   * @throws checkpoint_not_found, checkpoint_inconsistent, vm_state_invalid (not running), vm_busy
   */
  async remove(options: { readonly checkpoint: string; readonly metadataOnly?: boolean } & CallOptions): Promise<void> {
    const { checkpoint, metadataOnly = false, signal } = options;
    const args = ['checkpoint-delete', this.#uuid, checkpoint, ...(metadataOnly ? ['--metadata'] : [])];
    await this.#virsh.run({ args, doing: `remove checkpoint ${checkpoint} of ${this.#name}`, signal });
  }

  /**
   * Tells libvirt of a checkpoint whose bitmaps are in the disks already. Only of a running machine can it see whether
   * they are, with `verify`.
   * @throws checkpoint_inconsistent
   */
  async redefine({
    xml,
    verify,
    signal,
  }: { readonly xml: string; readonly verify: boolean } & CallOptions): Promise<void> {
    const args = [
      'checkpoint-create',
      this.#uuid,
      '--redefine',
      ...(verify ? ['--redefine-validate'] : []),
      '--xmlfile',
    ];
    await this.#virsh.run({ args, documents: [xml], doing: `redefine a checkpoint of ${this.#name}`, signal });
  }
}

/** A machine with disks, and what is known of their changes since a point: by bitmap where an image holds one. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dice } from './dice.ts';
import { type DiskContent, type Extent, type MachineDisk, runTool } from './machine-disk.ts';

/** From when on changes are noted. */
type Since = {
  readonly pointId: string;
  readonly bitmap: string;
  /** Of raw disks, by name. */
  readonly changed: ReadonlyMap<string, Extent[]>;
};

/** The words of a backup that name this machine's disks, and what to do once it is known whether there is a point. */
export type PreparedBackup = {
  readonly words: readonly string[];
  readonly contents: ReadonlyMap<string, DiskContent>;
  /** @param pointId undefined when there is none */
  readonly settle: (pointId: string | undefined) => Promise<void>;
};

export class Machine {
  readonly resource: string;
  readonly disks: readonly MachineDisk[];
  readonly #directory: string;
  #since: Since | undefined;
  #isBusy = false;

  /** @param made.directory for lists of changed extents */
  constructor(made: Pick<Machine, 'resource' | 'disks'> & { readonly directory: string }) {
    this.resource = made.resource;
    this.disks = made.disks;
    this.#directory = made.directory;
  }

  /** A backup was prepared and is not settled: the disks stay as they are. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  get contents(): ReadonlyMap<string, DiskContent> {
    return new Map(this.disks.map((disk) => [disk.name, disk.content]));
  }

  async change(dice: Dice): Promise<void> {
    for (const disk of this.disks) {
      const extents = await disk.change(dice);
      this.#since?.changed.get(disk.name)?.push(...extents);
    }
  }

  /**
   * A full backup when `isIncremental` is false, or when the changes since no point that there is are known.
   * @param request.name of the new bitmaps; never used before
   */
  async prepareBackup(request: {
    readonly name: string;
    readonly isIncremental: boolean;
    readonly isAvailable: (pointId: string) => boolean;
  }): Promise<PreparedBackup> {
    const { name, isIncremental, isAvailable } = request;
    const since = this.#since && isIncremental && isAvailable(this.#since.pointId) ? this.#since : undefined;
    const words = ['--resource', this.resource, ...(since ? ['--parent', since.pointId] : [])];
    const lists: string[] = [];
    for (const disk of this.disks) {
      words.push('--disk', `${disk.name}=${disk.path}`);
      const changed = since?.changed.get(disk.name);
      if (changed) {
        const list = join(this.#directory, `${name}-${disk.name}.json`);
        await writeFile(list, JSON.stringify(changed));
        lists.push(list);
        words.push('--changed', `${disk.name}=${list}`);
      } else if (since) {
        words.push('--bitmap', `${disk.name}=${since.bitmap}`);
      }
    }
    await this.#changeBitmaps('--add', name);
    this.#isBusy = true;
    const settle = async (pointId: string | undefined): Promise<void> => {
      this.#isBusy = false;
      for (const list of lists) await rm(list);
      const old = pointId === undefined ? name : this.#since?.bitmap;
      if (old !== undefined) await this.#changeBitmaps('--remove', old);
      if (pointId === undefined) return;
      const raw = this.disks.filter(({ format }) => format === 'raw');
      this.#since = { pointId, bitmap: name, changed: new Map(raw.map((disk) => [disk.name, []])) };
    };
    return { words, contents: this.contents, settle };
  }

  async #changeBitmaps(verb: '--add' | '--remove', name: string): Promise<void> {
    for (const { format, path } of this.disks) {
      if (format === 'qcow2') await runTool('qemu-img', ['bitmap', verb, path, name]);
    }
  }
}

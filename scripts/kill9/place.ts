/** A repository of a run, seen through the engine: what it lists, and whether each point holds what it held. */
import { listPoints, openRepository, type Repository } from '../../packages/engine/index.ts';
import { restoreDisk } from '../../packages/engine/restore.ts';
import { LocalStore } from '../../packages/storage/index.ts';
import { MemoryDisk, MemoryTarget } from '../../packages/testing/index.ts';
import { leftBehind } from '../../packages/engine/care-model/tidy-fixture.ts';
import type { HoldfastError } from '../../packages/base/index.ts';
import type { DiskContent } from './machine-disk.ts';
import { BrokenPromise, type SeenPoint } from './point-book.ts';

export type SeenCopy = SeenPoint & { readonly copiedFrom: string | undefined };

export class Place {
  readonly directory: string;
  /** Undefined where nothing is encrypted. */
  passphrase: string | undefined;

  constructor(made: { readonly directory: string; readonly passphrase: string | undefined }) {
    this.directory = made.directory;
    this.passphrase = made.passphrase;
  }

  get url(): string {
    return `file://${this.directory}`;
  }

  /** Points that can be restored, and those in the trash. @throws BrokenPromise when a manifest is damaged */
  async look(): Promise<readonly SeenCopy[]> {
    const repository = await this.#open();
    const { points, damaged } = await listPoints({ repository, states: ['available', 'trashed'] });
    assertUndamaged(damaged);
    return points.map(({ manifest, state }) => ({
      id: manifest.id,
      label: manifest.label,
      resource: manifest.resource,
      state: state === 'trashed' ? 'trashed' : 'available',
      copiedFrom: manifest.copied_from?.point,
    }));
  }

  /** Restores every disk of every point, trashed ones too. Answers how many. @throws BrokenPromise */
  async proveContents(contentsOf: (point: SeenCopy) => ReadonlyMap<string, DiskContent> | undefined): Promise<number> {
    const repository = await this.#open();
    const { points } = await listPoints({ repository, states: ['available', 'trashed'] });
    for (const point of points) {
      const { id, label, resource, copied_from: source } = point.manifest;
      const state = point.state === 'trashed' ? 'trashed' : 'available';
      const contents = contentsOf({ id, label, resource, state, copiedFrom: source?.point });
      const names = point.manifest.disks.map(({ name }) => name);
      if (names.toSorted().join() !== [...(contents?.keys() ?? [])].toSorted().join()) {
        throw new BrokenPromise(`Point ${id} "${label}" has the disks ${names.join(', ')}.`);
      }
      for (const [name, content] of contents!) await proveDisk({ repository, point, name, content });
    }
    return points.length;
  }

  /** Keys of objects that nobody needs any more. */
  async leftBehind(): Promise<readonly string[]> {
    const repository = await this.#open();
    const keys = await Array.fromAsync(repository.store.list(''), ({ key }) => key);
    return await leftBehind({ repository, keys });
  }

  async opensWith(passphrase: string): Promise<boolean> {
    try {
      await this.#open(passphrase);
      return true;
    } catch (error) {
      if ((error as HoldfastError).code === 'key_wrong') return false;
      throw error;
    }
  }

  /** Anew each time: nothing that was read before hides what is there now. */
  async #open(passphrase = this.passphrase): Promise<Repository> {
    const store = await LocalStore.open({ directory: this.directory });
    return await openRepository({ store, passphrase });
  }
}

async function proveDisk(request: {
  readonly repository: Repository;
  readonly point: Awaited<ReturnType<typeof listPoints>>['points'][number];
  readonly name: string;
  readonly content: DiskContent;
}): Promise<void> {
  const { repository, point, name, content } = request;
  const what = `Point ${point.manifest.id} "${point.manifest.label}" ${name}`;
  const sizeBytes = point.manifest.disks.find((disk) => disk.name === name)?.size_bytes;
  if (sizeBytes !== content.sizeBytes) throw new BrokenPromise(`${what} has ${sizeBytes} bytes.`);
  const disk = new MemoryDisk(content.sizeBytes);
  try {
    await restoreDisk({ repository, point, disk: name, target: new MemoryTarget({ disk, fresh: true }) });
  } catch (cause) {
    throw new BrokenPromise(`${what} cannot be restored.`, { cause });
  }
  if (disk.sha256() !== content.sha256) throw new BrokenPromise(`${what} restores with other bytes than it held.`);
}

function assertUndamaged(damaged: readonly { readonly key: string; readonly error: Error }[]): void {
  const [first] = damaged;
  if (first) throw new BrokenPromise(`${first.key} cannot be read.`, { cause: first.error });
}

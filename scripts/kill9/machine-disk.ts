/** A real disk image that a machine writes to: a raw or qcow2 file, and in memory what it has to hold. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { open, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { noise, text } from '../../packages/testing/index.ts';
import type { Dice } from './dice.ts';

export type DiskFormat = 'raw' | 'qcow2';

export type Extent = { readonly offset: number; readonly length: number };

/** What a disk held at a moment. */
export type DiskContent = { readonly sizeBytes: number; readonly sha256: string };

type DiskPlan = Pick<MachineDisk, 'name' | 'path' | 'format'> & { readonly sizeBytes: number };

const sectorBytes = 512;

export const runTool = promisify(execFile);

export class MachineDisk {
  readonly name: string;
  readonly path: string;
  readonly format: DiskFormat;
  readonly #content: Buffer;

  private constructor(made: DiskPlan) {
    this.name = made.name;
    this.path = made.path;
    this.format = made.format;
    this.#content = Buffer.alloc(made.sizeBytes);
  }

  /** Zeros, until something is written. A qcow2 disk has whole sectors. */
  static async create(made: DiskPlan): Promise<MachineDisk> {
    const { path, format, sizeBytes } = made;
    await runTool('qemu-img', ['create', '-q', '-f', format, path, String(sizeBytes)]);
    // qemu-img rounds up to sectors.
    if (format === 'raw') {
      await using file = await open(path, 'r+');
      await file.truncate(sizeBytes);
    }
    return new MachineDisk(made);
  }

  get content(): DiskContent {
    return { sizeBytes: this.#content.length, sha256: sha256(this.#content) };
  }

  /** Writes new content, old content of another place, and zeros. Answers where. */
  async change(dice: Dice): Promise<readonly Extent[]> {
    const edits = Array.from({ length: 1 + dice.below(3) }, () => this.#choose(dice));
    for (const { offset, bytes } of edits) bytes.copy(this.#content, offset);
    await (this.format === 'raw' ? this.#writeRaw(edits) : this.#writeQcow2(edits));
    return edits.map(({ offset, bytes }) => ({ offset, length: bytes.length }));
  }

  #choose(dice: Dice): Edit {
    const size = this.#content.length;
    const offset = whole(dice.below(size));
    const length = Math.min(size - offset, whole(1 + dice.below(size / 3)) + sectorBytes);
    const seed = dice.below(2 ** 31);
    const kind = dice.pick(['noise', 'noise', 'text', 'zeros', 'copy'] as const);
    switch (kind) {
      case 'noise':
        return { offset, bytes: noise({ seed, length }) };
      case 'text':
        return { offset, bytes: text({ seed, length }) };
      case 'zeros':
        return { offset, bytes: Buffer.alloc(length) };
      case 'copy': {
        const from = whole(dice.below(size - length + 1));
        return { offset, bytes: Buffer.from(this.#content.subarray(from, from + length)) };
      }
      default:
        return kind satisfies never;
    }
  }

  async #writeRaw(edits: readonly Edit[]): Promise<void> {
    await using file = await open(this.path, 'r+');
    for (const { offset, bytes } of edits) await file.write(bytes, 0, bytes.length, offset);
  }

  async #writeQcow2(edits: readonly Edit[]): Promise<void> {
    const words: string[] = [];
    const patterns: string[] = [];
    for (const [index, { offset, bytes }] of edits.entries()) {
      const pattern = `${this.path}.${index}`;
      if (bytes.some((byte) => byte !== 0)) {
        await writeFile(pattern, bytes);
        patterns.push(pattern);
        words.push('-c', `write -s ${pattern} ${offset} ${bytes.length}`);
      } else {
        words.push('-c', `write -z ${offset} ${bytes.length}`);
      }
    }
    await runTool('qemu-io', ['-f', 'qcow2', ...words, this.path]);
    for (const pattern of patterns) await rm(pattern);
  }
}

type Edit = { readonly offset: number; readonly bytes: Buffer };

function whole(bytes: number): number {
  return Math.floor(bytes / sectorBytes) * sectorBytes;
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A small JSON document on the disk, in one step: whoever reads it finds the old one or the new one. */
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectories } from '@holdfast/base';
import { targetFileError } from '../file/file-errors.ts';

/** Durable afterwards. @throws target_full, target_unwritable */
export async function writeDocument(path: string, document: object): Promise<void> {
  try {
    // Whoever makes the state directory lets others in: QEMU's scratch space lies below it.
    await makeDirectories(dirname(path), { mode: 0o755 });
    const making = `${path}.new`;
    {
      await using file = await open(making, 'w', 0o600);
      await file.writeFile(`${JSON.stringify(document)}\n`);
      await file.sync();
    }
    await rename(making, path);
    await using directory = await open(dirname(path), 'r');
    await directory.sync();
  } catch (error) {
    throw targetFileError(path, error);
  }
}

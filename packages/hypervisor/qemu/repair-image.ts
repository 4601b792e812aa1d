/** `qemu-img check` of a qcow2 image whose writer was killed. */
import { hasCode } from '@holdfast/base';
import { runQemuImg } from './qemu-img.ts';

/**
 * Gives back clusters that nothing refers to, which is all that a killed writer leaves behind. False when the image is
 * damaged beyond that, or is none.
 */
export async function isSoundAfterRepair(options: {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<boolean> {
  const { path, signal } = options;
  try {
    const args = ['check', '-q', '-r', 'leaks', '-f', 'qcow2', `file:${path}`];
    await runQemuImg({ args, doing: `check ${path}`, role: 'target', signal });
    return true;
  } catch (error) {
    if (!hasCode(error, 'qemu_failed', 'target_unwritable')) throw error;
    return false;
  }
}

/** Puts back what a machine has beside its disks: UEFI variables and the state of its TPM. */
import { writeFile } from 'node:fs/promises';
import { HoldfastError, systemErrorCode } from '@holdfast/base';

/** The file is new. libvirt gives it to QEMU when the machine starts. @throws target_unwritable, target_full */
export async function writeFirmwareVariables(path: string, content: Buffer): Promise<void> {
  try {
    await writeFile(path, content, { mode: 0o600, flush: true });
  } catch (cause) {
    const errno = systemErrorCode(cause);
    throw new HoldfastError(errno === 'ENOSPC' || errno === 'EDQUOT' ? 'target_full' : 'target_unwritable', path, {
      cause,
      facts: { path },
    });
  }
}

/** The place of everything that the server keeps. */
import { chmod, mkdir } from 'node:fs/promises';
import { HoldfastError, systemErrorCode } from '@holdfast/base';

/**
 * Made when missing. Others may pass through to what is theirs (root's PostgreSQL runs as another user) but see nothing.
 * @throws configuration_invalid
 */
export async function makeDataDirectory(directory: string): Promise<void> {
  try {
    const made = await mkdir(directory, { recursive: true });
    if (made !== undefined) await chmod(directory, 0o711);
  } catch (error) {
    const reason = systemErrorCode(error) ?? String(error);
    throw new HoldfastError('configuration_invalid', `The data directory ${directory} cannot be made: ${reason}.`, {
      cause: error,
      remedy: 'Name a place with HOLDFAST_DATA_DIR that this user may write to.',
    });
  }
}

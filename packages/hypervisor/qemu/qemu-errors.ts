/** QEMU says what went wrong only in English; this is the one place that reads it. */
import { type ErrorCode, HoldfastError } from '@holdfast/base';

export const IN_USE_REMEDY =
  'Another program (a running virtual machine?) has the image open. Shut it down first; the disk of a running machine is backed up through libvirt, never from its file.';

/** Which of QEMU's failures has a code of its own, by what is in its message (QEMU 7.2 to 10). */
const known: readonly { readonly pattern: RegExp; readonly code: ErrorCode; readonly remedy?: string }[] = [
  {
    pattern: /Failed to get .*lock|Is another process using the image/,
    code: 'source_unreadable',
    remedy: IN_USE_REMEDY,
  },
  {
    pattern: /Bitmap .*inconsistent|inconsistent and cannot be used/,
    code: 'bitmap_inconsistent',
  },
  { pattern: /Bitmap .* is not found|Dirty bitmap .* not found/i, code: 'bitmap_not_found' },
  { pattern: /Could not open.*No such file or directory|: No such file or directory/, code: 'source_not_found' },
  { pattern: /No space left on device|Disk quota exceeded/, code: 'target_full' },
  {
    pattern: /Permission denied|Image is not in .* format|Invalid argument|corrupt|not supported|Unknown protocol/i,
    code: 'source_unreadable',
  },
];

/** Whether the image that QEMU could not handle was to be read or to be written. */
export type ImageRole = 'source' | 'target';

/** `text` is QEMU's message, `doing` says what we wanted ("open disk.qcow2"). */
export function qemuError(options: {
  readonly role: ImageRole;
  readonly doing: string;
  readonly text: string;
  readonly cause?: unknown;
  readonly facts?: Readonly<Record<string, string | number>>;
}): HoldfastError {
  const match = known.find(({ pattern }) => pattern.test(options.text));
  const code = match ? codeFor(match.code, options.role) : 'qemu_failed';
  return new HoldfastError(code, `${options.doing}: ${oneLine(options.text)}`, {
    cause: options.cause,
    ...(options.facts && { facts: options.facts }),
    ...(match?.remedy !== undefined && { remedy: match.remedy }),
  });
}

function codeFor(code: ErrorCode, role: ImageRole): ErrorCode {
  const concernsImage = code === 'source_unreadable' || code === 'source_not_found';
  return role === 'target' && concernsImage ? 'target_unwritable' : code;
}

/** Recognised by its fact `program`. */
export function qemuMissing(program: string, cause?: unknown): HoldfastError {
  return new HoldfastError('qemu_failed', `the program ${program} is not installed`, {
    cause,
    remedy: 'apt-get install qemu-utils qemu-system-common',
    facts: { program },
  });
}

function oneLine(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trim().replace(/^qemu-[a-z-]+: /, ''))
    .filter((line) => line !== '')
    .join('; ');
}

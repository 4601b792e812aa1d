/** QEMU says what went wrong only in English; this is the one place that reads it. */
import { type ErrorCode, HoldfastError } from '@holdfast/base';

export const IN_USE_REMEDY =
  'Another program (a running virtual machine?) has the image open. Shut it down first; the disk of a running machine is backed up through libvirt, never from its file.';

const LOCKED = /Failed to get .*lock|Is another process using the image/;

const BUSY_REMEDY =
  'Shut the machine down that uses it, or wait for the program; the disks of a running machine have holdfast vm snapshot.';

/** Which of QEMU's failures has a code of its own, by what is in its message (QEMU 7.2 to 10). */
const known: readonly { readonly pattern: RegExp; readonly code: ErrorCode; readonly remedy?: string }[] = [
  {
    pattern: LOCKED,
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

/** Whether the image that QEMU could not handle was to be read, to be written, or to be changed where it is. */
export type ImageRole = 'source' | 'target' | 'volume';

/** `text` is QEMU's message, `doing` says what we wanted ("open disk.qcow2"). */
export function qemuError(options: {
  readonly role: ImageRole;
  readonly doing: string;
  readonly text: string;
  readonly cause?: unknown;
  readonly facts?: Readonly<Record<string, string | number>>;
}): HoldfastError {
  if (options.role === 'volume' && LOCKED.test(options.text)) return volumeBusy(options.doing);
  const match = known.find(({ pattern }) => pattern.test(options.text));
  const code = match ? codeFor(match.code, options.role) : 'qemu_failed';
  return new HoldfastError(code, `${options.doing}: ${oneLine(options.text)}`, {
    cause: options.cause,
    ...(options.facts && { facts: options.facts }),
    ...(match?.remedy !== undefined && { remedy: match.remedy }),
  });
}

/** `doing` could not be done because a program has the image open. */
export function volumeBusy(doing: string): HoldfastError {
  return new HoldfastError('volume_busy', `${doing}: the image is in use`, { remedy: BUSY_REMEDY });
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

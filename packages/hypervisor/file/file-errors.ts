/** What an errno of a local file means to a reader or a writer of disks, decided once. */
import { type ErrorCode, HoldfastError, systemErrorCode } from '@holdfast/base';

/** Errors of opening and reading a source. Anything that is not a system error comes back as it is. */
export function sourceFileError(path: string, error: unknown): unknown {
  const errno = systemErrorCode(error);
  if (errno === undefined || error instanceof HoldfastError) return error;
  const code: ErrorCode = errno === 'ENOENT' || errno === 'ENOTDIR' ? 'source_not_found' : 'source_unreadable';
  return new HoldfastError(code, `${path}: ${explain(errno, error)}`, { cause: error, facts: { path, errno } });
}

/** Errors of creating, opening and writing a target. */
export function targetFileError(path: string, error: unknown): unknown {
  const errno = systemErrorCode(error);
  if (errno === undefined || error instanceof HoldfastError) return error;
  return new HoldfastError(targetCode(errno), `${path}: ${explain(errno, error)}`, {
    cause: error,
    facts: { path, errno },
  });
}

function targetCode(errno: string): ErrorCode {
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'target_full';
    case 'EEXIST':
      return 'target_exists';
    case 'EFBIG':
      return 'incompatible_target';
    default:
      return 'target_unwritable';
  }
}

function explain(errno: string, error: unknown): string {
  switch (errno) {
    case 'ENOENT':
      return 'no such file or directory';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a directory, not a disk';
    case 'ENOSPC':
      return 'no space left on the file system';
    case 'EDQUOT':
      return 'the disk quota is used up';
    case 'EFBIG':
      return 'the file system does not take files of this size';
    case 'EROFS':
      return 'the file system is read-only';
    case 'EBUSY':
      return 'the device is in use';
    default:
      return error instanceof Error ? error.message : errno;
  }
}

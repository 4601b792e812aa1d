/** From `errno` to the catalogue, for the local driver. What is no system error (aborts, our own errors) passes as it is. */
import { type ErrorCode, HoldfastError, systemErrorCode } from '@holdfast/base';

const codeByErrno: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'storage_full',
  EDQUOT: 'storage_full',
  EACCES: 'storage_denied',
  EPERM: 'storage_denied',
  EROFS: 'storage_denied',
  ENAMETOOLONG: 'object_key_invalid',
};

/** Whether a failed path lookup means "there is nothing under this name". */
export function isAbsence(error: unknown): boolean {
  return hasErrno(error, 'ENOENT', 'ENOTDIR');
}

export function hasErrno(error: unknown, ...names: readonly string[]): boolean {
  const name = systemErrorCode(error);
  return name !== undefined && names.includes(name);
}

/**
 * @param doing what failed on what, to follow "Could not": "write the object rp/x".
 */
export function toStorageError(error: unknown, doing: string): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error;
  const errno = systemErrorCode(error) ?? 'unknown error';
  return new HoldfastError(codeByErrno[errno] ?? 'storage_unreachable', `Could not ${doing}: ${errno}.`, {
    cause: error,
  });
}

/** To hand to `catch`: absence becomes `instead`, any other failure is translated and thrown. */
export function absentAs<Value>(instead: Value, doing: string): (error: unknown) => Value {
  return (error) => {
    if (isAbsence(error)) return instead;
    throw toStorageError(error, doing);
  };
}

/** Awaits one file-system call and translates its failure. */
export async function storageCall<Result>(doing: string, call: Promise<Result>): Promise<Result> {
  try {
    return await call;
  } catch (error) {
    throw toStorageError(error, doing);
  }
}

/**
 * The grammar of object keys, in one place: every driver asks here before it touches its storage, so that a key which
 * one storage takes is taken by all, and no key can leave the storage's root (`..`) or name a temporary file.
 */
import { HoldfastError } from '@holdfast/base';

/** Longest key, characters; leaves room for a prefix within S3's 1024 bytes and any file system's path limit. */
export const maxKeyLength = 512;

const segment = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
/** The longest file name of common file systems, bytes. */
const maxSegmentLength = 255;

/** Whether `name` can be one segment of a key. */
export function isKeySegment(name: string): boolean {
  return name.length <= maxSegmentLength && segment.test(name);
}

/** @throws object_key_invalid */
export function assertObjectKey(key: string): void {
  if (key.length > maxKeyLength) throw invalid(key, `is longer than ${maxKeyLength} characters`);
  for (const part of key.split('/')) {
    if (!isKeySegment(part)) throw invalid(key, `has the segment ${JSON.stringify(part)}`);
  }
}

/**
 * A prefix is what a key may begin with: empty, or whole segments followed by a part of one.
 * @throws object_key_invalid
 */
export function assertKeyPrefix(prefix: string): void {
  if (prefix === '') return;
  assertObjectKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}

function invalid(key: string, why: string): HoldfastError {
  const shown = key.length > 80 ? `${key.slice(0, 80)}...` : key;
  return new HoldfastError('object_key_invalid', `The key ${JSON.stringify(shown)} ${why}.`, {
    remedy: 'Segments are 1 to 255 of A-Z a-z 0-9 . _ - joined by single slashes, none beginning with a dot.',
  });
}

/** All checks, in the order in which they run: the simple promises first, since the later ones rest on them. */
import { callChecks } from './checks/calls.ts';
import { createOnlyPutChecks } from './checks/create-only-puts.ts';
import { deleteChecks } from './checks/deletes.ts';
import { keyChecks } from './checks/keys.ts';
import { listingChecks } from './checks/listings.ts';
import { rangeChecks } from './checks/ranges.ts';
import { wholePutChecks } from './checks/whole-puts.ts';
import type { StorageCheck } from './storage-check.ts';

export const storageChecks: readonly StorageCheck[] = [
  ...wholePutChecks,
  ...rangeChecks,
  ...keyChecks,
  ...deleteChecks,
  ...listingChecks,
  ...createOnlyPutChecks,
  ...callChecks,
];

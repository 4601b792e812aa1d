/**
 * Runs the conformance suite against a store, on a scratch prefix of its own, beside whatever the store holds. It is
 * what `holdfast storage check` does and what the tests of every driver do.
 */
import { randomBytes } from 'node:crypto';
import { type Clock, HoldfastError, systemClock } from '@holdfast/base';
import type { BlobStore, StorageCapabilities } from '../blob-store.ts';
import { assertObjectKey } from '../object-key.ts';
import type { ProbedCapability, StorageCheck } from './storage-check.ts';
import { storageChecks } from './storage-checks.ts';

export type StorageCheckResult = {
  readonly name: string;
  readonly promise: string;
  readonly durationMs: number;
} & (
  | { readonly outcome: 'passed' }
  /** The store does not claim the capability, and does not have it. */
  | { readonly outcome: 'skipped'; readonly reason: string }
  | { readonly outcome: 'failed'; readonly error: unknown }
);

export type StorageCheckReport = {
  readonly results: readonly StorageCheckResult[];
  readonly passed: number;
  readonly skipped: number;
  readonly failed: number;
  /** What the store claims, with what was probed in its place. */
  readonly capabilities: StorageCapabilities;
  /** Scratch objects that could not be deleted; empty unless the storage failed. */
  readonly leftovers: readonly string[];
};

export type CheckStorageOptions = {
  readonly store: BlobStore;
  /** Folder for the scratch objects, without a slash at the end; default `check-` and random digits. Must be unused. */
  readonly scratchPrefix?: string;
  readonly checks?: readonly StorageCheck[];
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock;
  readonly onResult?: (result: StorageCheckResult) => void;
};

/**
 * Never fails because the store does: that is in the report. Abort ends it after the running check has been cleaned up.
 * @throws object_key_invalid for the scratch prefix, object_exists when it is in use, signal.reason; and what a listing
 *   of the scratch prefix fails with at the beginning (storage_denied, storage_unreachable)
 */
export async function checkStorage(options: CheckStorageOptions): Promise<StorageCheckReport> {
  const { store, signal, clock = systemClock, checks = storageChecks } = options;
  const scratch = options.scratchPrefix ?? `check-${randomBytes(6).toString('hex')}`;
  assertObjectKey(scratch);
  await assertUnused(store, `${scratch}/`, signal);
  const results: StorageCheckResult[] = [];
  const leftovers: string[] = [];
  const probed = new Map<ProbedCapability, boolean>();
  for (const check of checks) {
    signal?.throwIfAborted();
    const prefix = `${scratch}/${check.name}/`;
    const made = new Set<string>();
    const key = (name: string): string => {
      made.add(prefix + name);
      return prefix + name;
    };
    const beganMs = clock.monotonicMs();
    const failure = await check.run(store, { key, prefix, signal }).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    leftovers.push(...(await cleanUp({ store, prefix, made })));
    signal?.throwIfAborted();
    if (check.probes) probed.set(check.probes, (probed.get(check.probes) ?? true) && !failure);
    const { name, promise } = check;
    const result = { name, promise, durationMs: clock.monotonicMs() - beganMs, ...judge(check, store, failure) };
    results.push(result);
    options.onResult?.(result);
  }
  const count = (outcome: StorageCheckResult['outcome']): number =>
    results.filter((result) => result.outcome === outcome).length;
  return {
    results,
    passed: count('passed'),
    skipped: count('skipped'),
    failed: count('failed'),
    capabilities: { ...store.capabilities, ...Object.fromEntries(probed) },
    leftovers,
  };
}

type Judgement =
  | { readonly outcome: 'passed' }
  | { readonly outcome: 'skipped'; readonly reason: string }
  | { readonly outcome: 'failed'; readonly error: unknown };

function judge(check: StorageCheck, store: BlobStore, failure: { readonly error: unknown } | undefined): Judgement {
  if (!failure) return { outcome: 'passed' };
  if (check.probes && !store.capabilities[check.probes]) {
    return { outcome: 'skipped', reason: `The storage does not claim ${check.probes}.` };
  }
  return { outcome: 'failed', error: failure.error };
}

async function assertUnused(store: BlobStore, prefix: string, signal: AbortSignal | undefined): Promise<void> {
  for await (const { key } of store.list(prefix, { signal })) {
    throw new HoldfastError('object_exists', `The scratch prefix ${prefix} is in use: it holds ${key}.`, {
      remedy: 'Choose another scratch prefix.',
    });
  }
}

/**
 * Deletes what is listed and what the check named (a store that breaks its contract may not list it), also after an
 * abort. Gives the keys that are still there.
 */
async function cleanUp(request: {
  readonly store: BlobStore;
  readonly prefix: string;
  readonly made: ReadonlySet<string>;
}): Promise<readonly string[]> {
  const { store, prefix, made } = request;
  const keys = new Set(made);
  try {
    for await (const { key } of store.list(prefix)) keys.add(key);
  } catch {
    // Judged by the checks; here the named keys must do.
  }
  const left: string[] = [];
  for (const key of keys) {
    await store.delete(key).catch(() => left.push(key));
  }
  return left;
}

/** How a check says what it saw. No assertion library: the suite ships with the product. */
import { randomFillSync } from 'node:crypto';
import { HoldfastError } from '@holdfast/base';
import type { BlobBody, BlobInfo, BlobStore } from '../blob-store.ts';

/** @throws storage_contract_broken */
export function broken(seen: string, cause?: unknown): never {
  throw new HoldfastError('storage_contract_broken', seen, { cause });
}

/** @throws storage_contract_broken unless `holds`; `seen` says what was seen instead */
export function expect(holds: boolean, seen: string): asserts holds {
  if (!holds) broken(seen);
}

/** The call must fail with this code; anything else is a broken contract. */
export async function expectCode(code: string, call: Promise<unknown>, doing: string): Promise<void> {
  const outcome = await call.then(
    () => ({ succeeded: true }) as const,
    (error: unknown) => ({ succeeded: false, error }) as const,
  );
  if (outcome.succeeded) broken(`${doing} succeeded; ${code} was due.`);
  const seen = outcome.error instanceof HoldfastError ? outcome.error.code : String(outcome.error);
  if (seen !== code) broken(`${doing} failed with ${seen}; ${code} was due.`, outcome.error);
}

/** The call must fail with exactly this reason. */
export async function expectAborted(reason: unknown, call: Promise<unknown>, doing: string): Promise<void> {
  const outcome = await call.then(
    () => ({ succeeded: true }) as const,
    (error: unknown) => ({ succeeded: false, error }) as const,
  );
  if (outcome.succeeded) broken(`${doing} succeeded although it was aborted.`);
  if (outcome.error !== reason)
    broken(`${doing} was aborted and failed with something else than the reason.`, outcome.error);
}

export async function expectContent(store: BlobStore, key: string, content: Buffer): Promise<void> {
  const got = await store.get(key);
  if (!got.equals(content)) broken(`${key} holds ${describe(got)} instead of ${describe(content)}.`);
  const info = await store.head(key);
  if (info?.sizeBytes !== content.length || info.key !== key) {
    broken(`head of ${key} tells ${JSON.stringify(info)} of an object of ${content.length} bytes.`);
  }
}

/** Nothing under the key, by any of the three ways to look. */
export async function expectAbsent(store: BlobStore, key: string): Promise<void> {
  expect((await store.head(key)) === undefined, `head finds ${key}.`);
  await expectCode('object_not_found', store.get(key), `get of ${key}`);
  expect(!(await keysOf(store, key)).includes(key), `${key} is listed.`);
}

export async function keysOf(store: BlobStore, prefix: string): Promise<string[]> {
  return (await infosOf(store, prefix)).map(({ key }) => key);
}

export async function infosOf(store: BlobStore, prefix: string): Promise<BlobInfo[]> {
  return await Array.fromAsync(store.list(prefix));
}

/** A body in one buffer. */
export function bodyOf(content: Buffer): BlobBody {
  return { buffers: [content] };
}

/** Content that no other object has. */
export function randomContent(sizeBytes: number): Buffer {
  return randomFillSync(Buffer.allocUnsafeSlow(sizeBytes));
}

function describe(content: Buffer): string {
  return `${content.length} bytes (${content.subarray(0, 8).toString('hex')}...)`;
}

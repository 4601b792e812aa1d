/**
 * A repository on a storage: made once by `initRepository`, opened by everybody else. Opening reads `repo.json` and, when
 * content is needed, unlocks the domain's keys.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { type Clock, HoldfastError, hasCode, KiB, MiB, systemClock } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { z } from 'zod';
import { geometryOf } from '../chunk/geometry.ts';
import { type HashAlgorithm, hashAlgorithms } from '../chunk/hash.ts';
import { ChunkCodec } from '../codec/chunk-codec.ts';
import { decodeDocument, encodeDocument } from './document.ts';
import { type DomainKeys, deriveDomainKeys, keyCheck } from './domain-keys.ts';
import { keyRecordKey, keysPrefix, repositoryKey } from './layout.ts';
import {
  type DomainSecret,
  type KeyRecord,
  keyRecordSchema,
  type Stretching,
  unwrapSecret,
  wrapSecret,
} from './key-record.ts';

export const formatVersion = 1;

/** The offline command line keeps everything in one domain; the control plane gives each tenant one. */
export const defaultDomain = 'default';

const repositorySchema = z.strictObject({
  format: z.literal(formatVersion),
  repository: z.uuid(),
  created_at: z.iso.datetime(),
  hash: z.enum(hashAlgorithms),
  defaults: z.strictObject({
    chunk_bytes: z.int(),
    pack_bytes: z
      .int()
      .min(64 * KiB)
      .max(1024 * MiB),
  }),
  /** Says which secret is the repository's: of two inits at once, one loses and leaves its key record behind. */
  key_check: z.string().regex(/^[0-9a-f]{64}$/),
  /** Raised when another owner takes over; with a control plane, offline writing refuses. */
  owner: z.strictObject({ kind: z.literal('offline'), epoch: z.int().min(0) }),
});
export type RepositoryConfiguration = z.output<typeof repositorySchema>;

export type Repository = {
  readonly store: BlobStore;
  readonly configuration: RepositoryConfiguration;
  readonly domain: string;
  readonly keys: DomainKeys;
  readonly codec: ChunkCodec;
  readonly clock: Clock;
};

export type InitOptions = {
  readonly store: BlobStore;
  readonly hash?: HashAlgorithm | undefined;
  readonly chunkBytes?: number | undefined;
  /** Given: the domain is encrypted and this opens it. */
  readonly passphrase?: string | undefined;
  readonly clock?: Clock;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Creates keys first and `repo.json` last, so a half-made repository is not one.
 * @throws repository_exists, storage errors
 */
export async function initRepository(options: InitOptions): Promise<RepositoryConfiguration> {
  const { store, signal, clock = systemClock } = options;
  const chunkBytes = options.chunkBytes ?? MiB;
  geometryOf({ sizeBytes: 0, chunkBytes });
  if (await store.head(repositoryKey, { signal })) {
    throw new HoldfastError('repository_exists', 'repo.json is there already.');
  }
  // A repository that lost its repo.json must not be made anew over its data.
  for await (const { key } of store.list(keysPrefix, { signal })) {
    throw new HoldfastError('repository_exists', `There is no repo.json, but there is ${key}.`, {
      remedy: 'Bring repo.json back if it was lost. If no repository was ever finished here, remove the folder keys/.',
    });
  }
  const secret = {
    domain: defaultDomain,
    epoch: 1,
    encrypted: options.passphrase !== undefined,
    secret: randomBytes(32),
  };
  await putKeyRecord({ store, secret, passphrase: options.passphrase, label: 'first key', clock, signal });
  const configuration: RepositoryConfiguration = {
    format: formatVersion,
    repository: randomUUID(),
    created_at: new Date(clock.nowMs()).toISOString(),
    hash: options.hash ?? 'blake3',
    defaults: { chunk_bytes: chunkBytes, pack_bytes: store.capabilities.preferredPackBytes },
    key_check: keyCheck(secret.secret),
    owner: { kind: 'offline', epoch: 0 },
  };
  try {
    await store.put(repositoryKey, { buffers: [encodeDocument(configuration)] }, { ifAbsent: true, signal });
  } catch (error) {
    if (!hasCode(error, 'object_exists')) throw error;
    throw new HoldfastError('repository_exists', 'Somebody else created a repository here just now.', { cause: error });
  }
  return configuration;
}

export type OpenOptions = {
  readonly store: BlobStore;
  readonly passphrase?: string | undefined;
  readonly clock?: Clock;
  readonly signal?: AbortSignal | undefined;
};

/** @throws not_a_repository, repository_newer, repository_damaged, key_required, key_wrong, key_missing */
export async function openRepository(options: OpenOptions): Promise<Repository> {
  const { store, clock = systemClock } = options;
  const configuration = await readConfiguration(options);
  const records = await readKeyRecords(options);
  const own = records.filter((record) => record.domain === defaultDomain);
  if (own.length === 0) throw new HoldfastError('key_missing', 'The folder keys/ holds no key of this repository.');
  const secret = await firstSecret({ records: own, passphrase: options.passphrase, configuration });
  const keys = deriveDomainKeys(secret);
  const codec = new ChunkCodec({ keys, algorithm: configuration.hash });
  return { store, configuration, domain: defaultDomain, keys, codec, clock };
}

/** Every key record, oldest first. */
export async function readKeyRecords(options: Pick<OpenOptions, 'store' | 'signal'>): Promise<KeyRecord[]> {
  const records: KeyRecord[] = [];
  for await (const { key } of options.store.list(keysPrefix, { signal: options.signal })) {
    records.push(decodeDocument(key, await options.store.get(key, { signal: options.signal }), keyRecordSchema));
  }
  return records.sort((a, b) => a.created_at.localeCompare(b.created_at));
}

/** The domain's secret, for adding or exporting a key. Same errors as `openRepository`. */
export async function unlockSecret(options: OpenOptions): Promise<DomainSecret> {
  const configuration = await readConfiguration(options);
  return await firstSecret({ records: await readKeyRecords(options), passphrase: options.passphrase, configuration });
}

/** Wraps the secret once more. Answers the new key's id. */
export async function putKeyRecord(options: {
  readonly store: BlobStore;
  readonly secret: DomainSecret;
  readonly passphrase: string | undefined;
  readonly label: string;
  readonly stretching?: Stretching | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}): Promise<string> {
  const { store, secret, passphrase, label, stretching, clock, signal } = options;
  const { id, document } = await wrapSecret(secret, { passphrase, label, stretching, nowMs: clock.nowMs() });
  await store.put(keyRecordKey(id), { buffers: [encodeDocument(document)] }, { ifAbsent: true, signal });
  return id;
}

/** What `repo.json` says. @throws not_a_repository, repository_newer, repository_damaged */
export async function readConfiguration({
  store,
  signal,
}: Pick<OpenOptions, 'store' | 'signal'>): Promise<RepositoryConfiguration> {
  let bytes: Buffer;
  try {
    bytes = await store.get(repositoryKey, { signal });
  } catch (error) {
    if (!hasCode(error, 'object_not_found')) throw error;
    throw new HoldfastError('not_a_repository', 'repo.json is not there.', { cause: error });
  }
  const { format } = decodeDocument(repositoryKey, bytes, z.looseObject({ format: z.int() }));
  if (format > formatVersion) {
    throw new HoldfastError('repository_newer', `It has format ${format}; this version reads up to ${formatVersion}.`);
  }
  return decodeDocument(repositoryKey, bytes, repositorySchema);
}

async function firstSecret(options: {
  readonly records: readonly KeyRecord[];
  readonly passphrase: string | undefined;
  readonly configuration: RepositoryConfiguration;
}): Promise<DomainSecret> {
  const { records, passphrase, configuration } = options;
  // What opens without a passphrase comes first: the record of an init that lost may ask for one.
  for (const record of records.toSorted((a, b) => Number(b.wrap.kind === 'none') - Number(a.wrap.kind === 'none'))) {
    const secret = await unwrapSecret(record, passphrase);
    if (secret && keyCheck(secret.secret) === configuration.key_check) return secret;
  }
  throw new HoldfastError('key_wrong', 'None of the keys opens with this passphrase.');
}

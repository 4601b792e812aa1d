/**
 * Taking passphrases away: rotation replaces one by another, removal ends one. Only the wrapping changes; the secret
 * inside, and with it every chunk id and every encryption key, stays. At every moment, also of a crash, a record that
 * was proved to open lies on the storage: what is deleted goes last.
 */
import { HoldfastError, systemClock } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { decodeDocument } from './document.ts';
import { keyCheck } from './domain-keys.ts';
import { type DomainSecret, type KeyRecord, keyRecordSchema, type Stretching, unwrapSecret } from './key-record.ts';
import { keyRecordKey } from './layout.ts';
import {
  type OpenOptions,
  putKeyRecord,
  type RepositoryConfiguration,
  readConfiguration,
  readKeyRecords,
} from './repository.ts';

type OpenedRecord = { readonly record: KeyRecord; readonly secret: DomainSecret };

export type RotateKeyOptions = OpenOptions & {
  /** Opens the records that are replaced. */
  readonly passphrase: string | undefined;
  readonly newPassphrase: string;
  /** Of the new record; that of the newest one replaced when absent. */
  readonly label?: string | undefined;
  readonly stretching?: Stretching | undefined;
};

export type RotatedKey = {
  /** Id of the record that the new passphrase opens. */
  readonly key: string;
  /** Ids of the records that went. */
  readonly replaced: readonly string[];
};

/**
 * Puts a record for the new passphrase, proves that it opens, then deletes every record that the old one opens; those of
 * other passphrases stay. Run again after it was killed, it goes on with the record that is there.
 * @throws key_required, key_wrong, usage (not encrypted, or the same passphrase), storage_contract_broken when the new
 * record does not open, storage errors; until the new record is proved nothing is deleted
 */
export async function rotateKey(options: RotateKeyOptions): Promise<RotatedKey> {
  const { store, newPassphrase, signal } = options;
  const configuration = await readConfiguration(options);
  const records = await readKeyRecords(options);
  const old = await openRecords({ records, passphrase: options.passphrase, configuration });
  const newest = old.at(-1);
  if (!newest) throw new HoldfastError('key_wrong', 'None of the keys opens with the old passphrase.');
  if (!newest.secret.encrypted) {
    throw new HoldfastError('usage', 'This repository is not encrypted, so it has no passphrase to rotate.');
  }
  const others = records.filter(({ id }) => !old.some(({ record }) => record.id === id));
  if (options.passphrase?.normalize('NFC') === newPassphrase.normalize('NFC')) {
    throw new HoldfastError('usage', 'The new passphrase is the old one.');
  }
  const [earlier] = await openRecords({ records: others, passphrase: newPassphrase, configuration });
  const key = earlier?.record.id ?? (await putNew(options, newest));
  const name = keyRecordKey(key);
  const content = await readProved({ store, name, passphrase: newPassphrase, configuration, signal });
  const replaced = old.map(({ record }) => record.id);
  for (const id of replaced) await store.delete(keyRecordKey(id), { signal });
  // A removal at the same time may have taken the new record while it counted on an old one.
  if (!(await store.head(name))) await store.put(name, { buffers: [content] });
  return { key, replaced };
}

async function putNew(options: RotateKeyOptions, { record, secret }: OpenedRecord): Promise<string> {
  const { store, newPassphrase: passphrase, stretching, clock = systemClock, signal, label = record.label } = options;
  return await putKeyRecord({ store, secret, passphrase, label, stretching, clock, signal });
}

/**
 * Deletes a record. `passphrase` must open another one, so that whoever removes a key is known to be able to get in
 * afterwards.
 * @throws usage when there is no such record, last_key, key_required, key_wrong, storage errors; then it is still there
 */
export async function removeKey(options: OpenOptions & { readonly key: string }): Promise<void> {
  const { store, key, signal } = options;
  const configuration = await readConfiguration(options);
  const records = await readKeyRecords(options);
  if (!records.some(({ id }) => id === key)) {
    throw new HoldfastError('usage', `There is no key ${key}.`, {
      remedy: `Name one of ${records.map(({ id }) => id).join(', ')}.`,
    });
  }
  const lastKey = (detail: string, remedy?: string) =>
    new HoldfastError('last_key', detail, remedy === undefined ? {} : { remedy });
  if (records.length === 1) throw lastKey(`${key} is the only key of this repository.`);
  const opened = await openRecords({ records, passphrase: options.passphrase, configuration });
  if (opened.length === 0) throw new HoldfastError('key_wrong', 'None of the keys opens with this passphrase.');
  const stays = opened.find(({ record }) => record.id !== key);
  if (!stays) {
    throw lastKey(
      `The passphrase given opens ${key} and no other key, so nothing proves that one would be left.`,
      'Give the passphrase of a key that stays.',
    );
  }
  const content = await store.get(keyRecordKey(key), { signal });
  await store.delete(keyRecordKey(key), { signal });
  // Of two removals at once each may have counted on the record that the other one took.
  const left = await openRecords({
    records: await readKeyRecords(options),
    passphrase: options.passphrase,
    configuration,
  });
  if (left.length > 0) return;
  await store.put(keyRecordKey(key), { buffers: [content] });
  throw lastKey(`${stays.record.id} was removed at the same time, so ${key} was put back.`);
}

/**
 * The records that hold the repository's secret and open with the passphrase, oldest first. What a lost init left behind is
 * none of them.
 * @throws key_required when a passphrase is needed and there is none
 */
async function openRecords(options: {
  readonly records: readonly KeyRecord[];
  readonly passphrase: string | undefined;
  readonly configuration: RepositoryConfiguration;
}): Promise<OpenedRecord[]> {
  const { records, passphrase, configuration } = options;
  const opened: OpenedRecord[] = [];
  for (const record of records) {
    if (record.wrap.kind === 'passphrase' && passphrase === undefined) continue;
    const secret = await unwrapSecret(record, passphrase);
    if (secret && keyCheck(secret.secret) === configuration.key_check) opened.push({ record, secret });
  }
  if (opened.length === 0 && passphrase === undefined && records.length > 0) {
    throw new HoldfastError('key_required', 'This repository opens with a passphrase only.');
  }
  return opened;
}

/** Reads the record from the storage and opens it. Answers it as it is stored. @throws storage_contract_broken */
async function readProved(options: {
  readonly store: BlobStore;
  readonly name: string;
  readonly passphrase: string;
  readonly configuration: RepositoryConfiguration;
  readonly signal?: AbortSignal | undefined;
}): Promise<Buffer> {
  const { store, name, passphrase, configuration, signal } = options;
  const content = await store.get(name, { signal });
  const record = decodeDocument(name, content, keyRecordSchema);
  if ((await openRecords({ records: [record], passphrase, configuration })).length > 0) return content;
  throw new HoldfastError(
    'storage_contract_broken',
    `${name} does not open as it was put. The old keys are all there.`,
  );
}

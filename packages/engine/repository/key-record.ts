/**
 * `keys/<keyid>`: one wrapping of a domain's secret. Several records may wrap the same secret under different
 * passphrases; a record is never changed, and deleted only by key-rotation.ts. An unencrypted domain has one record that wraps with nothing: its secret
 * keys the chunk ids all the same.
 */
import { argon2 as argon2Callback, createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { HoldfastError, newId } from '@holdfast/base';
import { z } from 'zod';

const argon2 = promisify(argon2Callback);

/** What trying a passphrase costs; kept in the record. */
export type Stretching = { readonly memoryKib: number; readonly passes: number; readonly lanes: number };

/** RFC 9106, second recommended option (64 MiB, 3 passes); one lane, as the machine is shared with guests. */
const argon2Defaults: Stretching = { memoryKib: 64 * 1024, passes: 3, lanes: 1 };

const base64 = z.base64().transform((text) => Buffer.from(text, 'base64'));

export const keyRecordSchema = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^key_[0-9a-f]{32}$/),
  domain: z.string(),
  epoch: z.int().min(1),
  encrypted: z.boolean(),
  created_at: z.iso.datetime(),
  label: z.string().max(200),
  wrap: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('none'), secret: base64 }),
    z.strictObject({
      kind: z.literal('passphrase'),
      memory_kib: z
        .int()
        .min(8)
        .max(4 * 1024 * 1024),
      passes: z.int().min(1).max(100),
      lanes: z.int().min(1).max(64),
      salt: base64,
      nonce: base64,
      sealed: base64,
      tag: base64,
    }),
  ]),
});
export type KeyRecord = z.output<typeof keyRecordSchema>;

export type DomainSecret = {
  readonly domain: string;
  readonly epoch: number;
  readonly encrypted: boolean;
  /** 32 bytes. */
  readonly secret: Buffer;
};

/** Wraps the secret with `passphrase`, or with nothing. The result is ready for `encodeDocument`. */
export async function wrapSecret(
  secret: DomainSecret,
  options: {
    readonly passphrase: string | undefined;
    readonly label: string;
    readonly nowMs: number;
    readonly stretching?: Stretching | undefined;
  },
): Promise<{ id: string; document: object }> {
  const id = newId('key');
  const head = {
    version: 1,
    id,
    domain: secret.domain,
    epoch: secret.epoch,
    encrypted: secret.encrypted,
    created_at: new Date(options.nowMs).toISOString(),
    label: options.label,
  };
  if (options.passphrase === undefined) {
    return { id, document: { ...head, wrap: { kind: 'none', secret: secret.secret.toString('base64') } } };
  }
  const { memoryKib, passes, lanes } = options.stretching ?? argon2Defaults;
  const salt = randomBytes(16);
  const nonce = randomBytes(12);
  const key = await stretch({ passphrase: options.passphrase, salt, memoryKib, passes, lanes });
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(authenticatedHead(head));
  const sealed = Buffer.concat([cipher.update(secret.secret), cipher.final()]);
  const wrap = {
    kind: 'passphrase',
    memory_kib: memoryKib,
    passes,
    lanes,
    salt: salt.toString('base64'),
    nonce: nonce.toString('base64'),
    sealed: sealed.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
  };
  return { id, document: { ...head, wrap } };
}

/**
 * The secret inside, or undefined when the passphrase is not the one of this record.
 * @throws key_required when there is no passphrase to try
 */
export async function unwrapSecret(
  record: KeyRecord,
  passphrase: string | undefined,
): Promise<DomainSecret | undefined> {
  const { domain, epoch, encrypted, wrap } = record;
  if (wrap.kind === 'none') return { domain, epoch, encrypted, secret: wrap.secret };
  if (passphrase === undefined) {
    throw new HoldfastError('key_required', 'This repository opens with a passphrase only.');
  }
  const { salt, nonce, sealed, tag, passes, lanes } = wrap;
  const key = await stretch({ passphrase, salt, memoryKib: wrap.memory_kib, passes, lanes });
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
  decipher.setAAD(authenticatedHead(record));
  decipher.setAuthTag(tag);
  try {
    return { domain, epoch, encrypted, secret: Buffer.concat([decipher.update(sealed), decipher.final()]) };
  } catch {
    return undefined;
  }
}

function authenticatedHead(head: Pick<KeyRecord, 'id' | 'domain' | 'epoch' | 'encrypted'>): Buffer {
  return Buffer.from(JSON.stringify([head.id, head.domain, head.epoch, head.encrypted]));
}

async function stretch(input: {
  readonly passphrase: string;
  readonly salt: Buffer;
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
}): Promise<Buffer> {
  return await argon2('argon2id', {
    message: input.passphrase.normalize('NFC'),
    nonce: input.salt,
    parallelism: input.lanes,
    tagLength: 32,
    memory: input.memoryKib,
    passes: input.passes,
  });
}

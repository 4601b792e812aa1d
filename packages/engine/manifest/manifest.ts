/**
 * The manifest of a restore point: putting it is the commit. Binary around two JSON parts:
 *
 *   magic "HFRP" | version 1 (u16) | flags (u16: 1 = private part encrypted) | lengths of the three parts (3 x u32)
 *   public JSON    what a keeper without keys needs: identity, times, direct references
 *   table root     the pack table's root (pack-table.ts)
 *   private JSON   the rest; in an encrypted domain salt (16) + AES-256-GCM ciphertext + tag
 *   MAC (32)       HMAC-SHA-256 of all before, domain's MAC key
 *   CRC-32 of all before (u32) | "PRFH"
 */
import { createHmac, randomFillSync, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { HoldfastError } from '@holdfast/base';
import { z } from 'zod';
import { hashBytes } from '../chunk/hash.ts';
import { saltBytes } from '../codec/frame.ts';
import { seal, unseal } from '../codec/sealing.ts';
import { decodeTableRoot, encodeTableRoot, type PackTableRoot } from '../map/pack-table.ts';
import type { FrameReference } from '../pack/frame-reader.ts';
import type { DomainKeys } from '../repository/domain-keys.ts';

const headMagic = Buffer.from('HFRP', 'latin1');
const tailMagic = Buffer.from('PRFH', 'latin1');
const headBytes = 20;
const tailBytes = hashBytes + 8;
const encryptedFlag = 1;

const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
const referenceSchema = z
  .strictObject({ id: hex64, pack: hex64, slot: z.int(), offset: z.int(), stored_bytes: z.int() })
  .transform(
    (wire): FrameReference => ({
      id: Buffer.from(wire.id, 'hex'),
      location: { packId: wire.pack, slot: wire.slot, offset: wire.offset, storedBytes: wire.stored_bytes },
    }),
  );

const pointId = z.string().regex(/^bkp_[0-9a-f]{32}$/);

const publicSchema = z.strictObject({
  id: pointId,
  session: z.string(),
  domain: z.string(),
  resource: z.string(),
  created_at: z.iso.datetime(),
  key_epoch: z.int().min(1),
  lock_until: z.iso.datetime().nullable(),
  /** Map roots, one a disk, in the order of `disks`. */
  roots: z.array(referenceSchema),
  guest_configuration: referenceSchema.nullable(),
});

export const consistencies = ['application', 'filesystem', 'crash'] as const;
const kind = z.enum(['full', 'incremental']);
const count = z.int().min(0);

const countersSchema = z.strictObject({
  /** Bytes read from the source, samples included. */
  read_bytes: count,
  /** Chunks by what became of them. */
  zero_chunks: count,
  unchanged_chunks: count,
  deduplicated_chunks: count,
  new_chunks: count,
  /** Plain bytes of the new chunks. */
  new_bytes: count,
});

const diskSchema = z.strictObject({
  name: z.string(),
  size_bytes: count,
  chunk_bytes: count,
  actual: kind,
  /** Why a requested increment read everything; null when it did not. */
  fallback_reason: z.string().nullable(),
  bitmap: z.string().nullable(),
  counters: countersSchema,
});

const privateSchema = z.strictObject({
  /** Null for a legacy point, which belongs to no series. */
  series: z.string().nullable(),
  increment_id: z.int().min(1).nullable(),
  parent: z.string().nullable(),
  origin: z.enum(['manual', 'policy', 'import']),
  requested: kind,
  actual: kind,
  consistency: z.enum(consistencies),
  zone: z.string(),
  host: z.string(),
  label: z.string().nullable(),
  keep_reasons: z.array(z.string()),
  /** Bytes of packs that this point put. */
  put_bytes: count,
  duration_ms: count,
  disks: z.array(diskSchema),
  /** Of a copy: the point that was made first, however many copies lie between. */
  copied_from: z.strictObject({ repository: z.uuid(), point: pointId }).optional(),
});

export type ManifestPublic = z.output<typeof publicSchema>;
export type ManifestPrivate = z.output<typeof privateSchema>;
export type DiskCounters = z.output<typeof countersSchema>;
export type ManifestDisk = z.output<typeof diskSchema>;
export type Manifest = ManifestPublic & ManifestPrivate & { readonly table: PackTableRoot };

/** @param manifest every part; unknown keys are not allowed */
export function encodeManifest(manifest: Manifest, keys: DomainKeys): Buffer {
  const { table, ...rest } = manifest;
  const publicPart = Buffer.from(JSON.stringify(publicWire(rest)));
  const tablePart = encodeTableRoot(table);
  const clearPart = Buffer.from(JSON.stringify(pick(rest, Object.keys(privateSchema.shape))));
  const privatePart =
    keys.encryptionKey === undefined ? clearPart : sealPrivate(keys.encryptionKey, publicPart, clearPart);
  const head = Buffer.alloc(headBytes);
  headMagic.copy(head);
  head.writeUInt16LE(1, 4);
  head.writeUInt16LE(keys.encryptionKey === undefined ? 0 : encryptedFlag, 6);
  head.writeUInt32LE(publicPart.length, 8);
  head.writeUInt32LE(tablePart.length, 12);
  head.writeUInt32LE(privatePart.length, 16);
  const body = Buffer.concat([head, publicPart, tablePart, privatePart]);
  const authenticated = Buffer.concat([body, mac(keys, body)]);
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(crc32(authenticated));
  tailMagic.copy(tail, 4);
  return Buffer.concat([authenticated, tail]);
}

/** @throws repository_damaged, repository_newer, key_missing; `name` says which object */
export function decodeManifest(name: string, bytes: Buffer, keys: DomainKeys): Manifest {
  const damaged = (what: string, cause?: unknown) =>
    new HoldfastError('repository_damaged', `Manifest ${name} ${what}.`, cause === undefined ? {} : { cause });
  const tail = bytes.subarray(bytes.length - 8);
  if (bytes.length < headBytes + tailBytes || !tail.subarray(4).equals(tailMagic)) throw damaged('is cut short');
  if (tail.readUInt32LE(0) !== crc32(bytes.subarray(0, bytes.length - 8))) throw damaged('is damaged');
  if (!bytes.subarray(0, 4).equals(headMagic)) throw damaged('does not begin as one');
  if (bytes.readUInt16LE(4) !== 1) {
    throw new HoldfastError('repository_newer', `Manifest ${name} has version ${bytes.readUInt16LE(4)}.`);
  }
  const encrypted = (bytes.readUInt16LE(6) & encryptedFlag) !== 0;
  const body = bytes.subarray(0, bytes.length - tailBytes);
  const publicEnd = headBytes + bytes.readUInt32LE(8);
  const tableEnd = publicEnd + bytes.readUInt32LE(12);
  if (tableEnd + bytes.readUInt32LE(16) !== body.length) throw damaged('has parts of the wrong length');
  if (!timingSafeEqual(mac(keys, body), bytes.subarray(body.length, body.length + hashBytes))) {
    throw damaged('was not written with the key of this repository');
  }
  const publicPart = bytes.subarray(headBytes, publicEnd);
  try {
    const stored = body.subarray(tableEnd);
    const clearPart = encrypted ? unsealPrivate(keys, publicPart, stored) : stored;
    return {
      ...publicSchema.parse(JSON.parse(publicPart.toString('utf8'))),
      ...privateSchema.parse(JSON.parse(clearPart.toString('utf8'))),
      table: decodeTableRoot(bytes.subarray(publicEnd, tableEnd)),
    };
  } catch (cause) {
    throw cause instanceof HoldfastError ? cause : damaged('does not have the shape of this version', cause);
  }
}

function publicWire(manifest: ManifestPublic): object {
  const wire = (reference: FrameReference) => ({
    id: reference.id.toString('hex'),
    pack: reference.location.packId,
    slot: reference.location.slot,
    offset: reference.location.offset,
    stored_bytes: reference.location.storedBytes,
  });
  return {
    ...pick(manifest, Object.keys(publicSchema.shape)),
    roots: manifest.roots.map(wire),
    guest_configuration: manifest.guest_configuration && wire(manifest.guest_configuration),
  };
}

function pick(from: object, names: readonly string[]): object {
  return Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name)));
}

function mac(keys: DomainKeys, body: Buffer): Buffer {
  return createHmac('sha256', keys.macKey).update(body).digest();
}

function sealPrivate(domainKey: Buffer, publicPart: Buffer, clearPart: Buffer): Buffer {
  const salt = randomFillSync(Buffer.alloc(saltBytes));
  return Buffer.concat([salt, ...seal({ domainKey, id: headMagic, salt, header: publicPart }, [clearPart])]);
}

function unsealPrivate(keys: DomainKeys, publicPart: Buffer, stored: Buffer): Buffer {
  if (keys.encryptionKey === undefined) throw new HoldfastError('key_missing', 'The manifest is encrypted.');
  const salt = stored.subarray(0, saltBytes);
  const input = { domainKey: keys.encryptionKey, id: headMagic, salt, header: publicPart };
  return unseal(input, stored.subarray(saltBytes));
}

/**
 * What a restore point keeps of a machine besides its disks, so that the machine can be built again where nothing of it
 * is left: one JSON document, the point's guest configuration. It holds what the domain XML holds, secrets too; the
 * engine encrypts it where the repository is encrypted.
 */
import { HoldfastError } from '@holdfast/base';
import type { Repository, RestorePoint } from '@holdfast/engine';
import { readGuestConfiguration } from '@holdfast/engine/restore';
import { z } from 'zod';

const bytes = z.codec(z.base64(), z.instanceof(Buffer), {
  decode: (text) => Buffer.from(text, 'base64'),
  encode: (content) => content.toString('base64'),
});

const sourceSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('file'), path: z.string() }),
  z.strictObject({ kind: z.literal('block'), path: z.string() }),
  z.strictObject({ kind: z.literal('rbd'), pool: z.string(), image: z.string(), snapshot: z.string().optional() }),
  /** A volume of a libvirt storage pool. */
  z.strictObject({ kind: z.literal('volume'), pool: z.string(), volume: z.string() }),
  /** Whatever else libvirt can use; `name` is for people. */
  z.strictObject({ kind: z.literal('other'), name: z.string() }),
]);

const layerSchema = z.strictObject({ format: z.string(), source: sourceSchema });

const diskSchema = z.strictObject({
  /** Device name in the guest, as the point has it: `vda`. */
  name: z.string().regex(/^[a-z][a-z0-9]{0,31}$/),
  /** `virtio`, `scsi`, `sata`; null when the XML leaves it to libvirt. */
  bus: z.string().nullable(),
  /** Of the image: `qcow2`, `raw`. */
  format: z.string(),
  source: sourceSchema,
  /** The images below it, nearest first; empty for one that stands alone. */
  backing: z.array(layerSchema),
});

const configurationSchema = z.strictObject({
  version: z.literal(1),
  name: z.string().min(1),
  uuid: z.uuid(),
  /** The stored (inactive) definition, with its secrets. */
  domain_xml: z.string().min(1),
  /** Content of the UEFI variable store, as it lies on the host; null for a machine without one. */
  nvram: bytes.nullable(),
  /** Files of the TPM emulator's state, paths relative to its directory (`tpm2/tpm2-00.permall`); null without a vTPM. */
  tpm_state: z.array(z.strictObject({ path: relativePath(), content: bytes })).nullable(),
  /** Every disk of the machine in its order, also those that are not in the point; no CD-ROM or floppy drives. */
  disks: z.array(diskSchema),
});

export type GuestConfiguration = Omit<z.output<typeof configurationSchema>, 'version'>;
export type GuestDisk = z.output<typeof diskSchema>;
export type GuestDiskSource = z.output<typeof sourceSchema>;

/** For `BackupOptions.guestConfiguration`. */
export function encodeGuestConfiguration(configuration: GuestConfiguration): Buffer {
  return Buffer.from(JSON.stringify(configurationSchema.encode({ version: 1, ...configuration })));
}

/**
 * @param name of the point, for messages
 * @throws repository_newer, repository_damaged when it is no such document
 */
export function decodeGuestConfiguration(name: string, document: Buffer): GuestConfiguration {
  const content = parseJson(name, document);
  const { version } = z.object({ version: z.number() }).safeParse(content).data ?? {};
  if (version !== undefined && version > 1) {
    throw new HoldfastError('repository_newer', `The guest configuration of ${name} has version ${version}.`);
  }
  const parsed = configurationSchema.safeParse(content);
  if (!parsed.success) throw notOurs(name, z.prettifyError(parsed.error), parsed.error);
  const { version: _, ...configuration } = parsed.data;
  return configuration;
}

/**
 * The configuration that a point keeps; undefined when it keeps none, as a point of a volume.
 * @throws repository_newer, repository_damaged, chunk_corrupt, key_missing, storage errors
 */
export async function guestConfigurationOf(request: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly signal?: AbortSignal | undefined;
}): Promise<GuestConfiguration | undefined> {
  const document = await readGuestConfiguration(request);
  return document && decodeGuestConfiguration(request.point.manifest.id, document);
}

function parseJson(name: string, document: Buffer): unknown {
  try {
    return JSON.parse(document.toString('utf8'));
  } catch (error) {
    throw notOurs(name, 'it is not JSON', error);
  }
}

function notOurs(name: string, why: string, cause: unknown): HoldfastError {
  return new HoldfastError('repository_damaged', `The guest configuration of ${name} cannot be read: ${why}`, {
    cause,
    remedy: 'Its disks can be restored one by one, with holdfast restore.',
  });
}

/** Cannot lead out of the directory that it is relative to. */
function relativePath(): z.ZodString {
  return z.string().regex(/^(?!\.{1,2}(\/|$))[^/\0]+(\/(?!\.{1,2}(\/|$))[^/\0]+)*$/);
}

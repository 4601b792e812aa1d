/**
 * Small JSON objects that must not be believed when a bit has flipped (repo.json, key records, sessions): a first line
 * with the SHA-256 of the rest.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '@holdfast/base';
import type { z } from 'zod';

export function encodeDocument(content: object): Buffer {
  const body = Buffer.from(`${JSON.stringify(content, null, 2)}\n`);
  return Buffer.concat([Buffer.from(`holdfast-sha256:${digest(body)}\n`), body]);
}

/** @throws repository_damaged when the sum or the shape is wrong; `name` says which object */
export function decodeDocument<Schema extends z.ZodType>(
  name: string,
  bytes: Buffer,
  schema: Schema,
): z.output<Schema> {
  const end = bytes.indexOf(0x0a);
  const body = bytes.subarray(end + 1);
  if (end < 0 || bytes.subarray(0, end).toString('latin1') !== `holdfast-sha256:${digest(body)}`) {
    throw new HoldfastError('repository_damaged', `${name} is damaged: its checksum does not match.`);
  }
  const parsed = schema.safeParse(JSON.parse(body.toString('utf8')));
  if (!parsed.success) {
    throw new HoldfastError('repository_damaged', `${name} is not of this format: ${parsed.error.issues[0]?.message}.`);
  }
  return parsed.data;
}

function digest(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

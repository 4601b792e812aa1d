/**
 * `moved/<packid>.<n>`: where frames of a compacted or healed pack are now (ADR 0007, rule forward). A JSON document:
 *
 *   version 1, session (whose verdict says whether it counts), pack, kind (data or meta),
 *   slots: [slot, pack, slot, offset, stored bytes] each
 */
import { HoldfastError } from '@holdfast/base';
import { z } from 'zod';
import type { ChunkLocation } from '../index/chunk-location.ts';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import type { PackKind } from '../repository/layout.ts';

export type ForwardingRecord = {
  /** Of the keeper that puts it. */
  readonly sessionId: string;
  readonly packId: string;
  /** Of the pack and of every pack that it leads to. */
  readonly kind: PackKind;
  /** New place by slot. */
  readonly moves: ReadonlyMap<number, ChunkLocation>;
};

const packId = z.string().regex(/^[0-9a-f]{64}$/);
const slot = z.int().min(0).max(0xffff);
const length = z.int().min(0).max(0xffff_ffff);
const recordSchema = z.strictObject({
  version: z.literal(1),
  session: z.string(),
  pack: packId,
  kind: z.enum(['data', 'meta']),
  slots: z.array(z.tuple([slot, packId, slot, length, length])),
});

export function encodeForwarding({ sessionId: session, packId: pack, kind, moves }: ForwardingRecord): Buffer {
  const slots = [...moves].map(([from, to]) => [from, to.packId, to.slot, to.offset, to.storedBytes]);
  return encodeDocument({ version: 1, session, pack, kind, slots });
}

/** @param expected the pack of its key. @throws repository_damaged; `name` says which object */
export function decodeForwarding(name: string, bytes: Buffer, expected: string): ForwardingRecord {
  const { session, pack, kind, slots } = decodeDocument(name, bytes, recordSchema);
  if (pack !== expected) throw new HoldfastError('repository_damaged', `${name} is a forwarding of pack ${pack}.`);
  // One string for each pack, not one for each slot.
  const names = new Map<string, string>();
  const moves = new Map<number, ChunkLocation>();
  for (const [from, to, toSlot, offset, storedBytes] of slots) {
    if (!names.has(to)) names.set(to, to);
    moves.set(from, { packId: names.get(to)!, slot: toSlot, offset, storedBytes });
  }
  return { sessionId: session, packId: pack, kind, moves };
}

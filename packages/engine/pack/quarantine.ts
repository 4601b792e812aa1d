/**
 * `bad/<packid>.<random>`: frames that verify could not have back (ADR 0007, rule heal). Writers do not build on them;
 * whoever reads tries them all the same. A JSON document:
 *
 *   version 1, pack, kind (data or meta), slots (numbers, or "all"), reason (missing or damaged), found_at
 */
import { randomBytes } from 'node:crypto';
import { hasCode } from '@holdfast/base';
import { z } from 'zod';
import { decodeDocument, encodeDocument } from '../repository/document.ts';
import { type PackKind, parseQuarantineKey, quarantineKey, quarantinePrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import type { SlotPlace } from './forwardings.ts';

export type BadSlots = 'all' | ReadonlySet<number>;

const reasons = ['missing', 'damaged'] as const;
export type QuarantineReason = (typeof reasons)[number];

const recordSchema = z.strictObject({
  version: z.literal(1),
  pack: z.string(),
  kind: z.enum(['data', 'meta']),
  slots: z.union([z.literal('all'), z.array(z.int().min(0).max(0xffff))]),
  reason: z.enum(reasons),
  found_at: z.iso.datetime(),
});

type BadPack = { slots: BadSlots; readonly keys: string[]; missing: boolean };

export class Quarantine {
  readonly #packs: ReadonlyMap<string, BadPack>;

  private constructor(packs: ReadonlyMap<string, BadPack>) {
    this.#packs = packs;
  }

  /** What stands now. A record that cannot be read holds back its whole pack. @throws storage errors */
  static async read(repository: Repository, signal?: AbortSignal): Promise<Quarantine> {
    const { store, domain } = repository;
    const packs = new Map<string, BadPack>();
    for await (const { key } of store.list(quarantinePrefix(domain), { signal })) {
      const packId = parseQuarantineKey(domain, key);
      if (packId === undefined) continue;
      const record = await readRecord(repository, key, signal);
      if (!record) continue;
      const pack = packs.get(packId) ?? { slots: new Set<number>(), keys: [], missing: true };
      pack.slots = union(pack.slots, record.slots);
      pack.keys.push(key);
      pack.missing &&= record.reason === 'missing';
      packs.set(packId, pack);
    }
    return new Quarantine(packs);
  }

  get packIds(): Iterable<string> {
    return this.#packs.keys();
  }

  get isEmpty(): boolean {
    return this.#packs.size === 0;
  }

  has({ packId, slot }: SlotPlace): boolean {
    const slots = this.#packs.get(packId)?.slots;
    return slots !== undefined && (slots === 'all' || slots.has(slot));
  }

  hasPack(packId: string): boolean {
    return this.#packs.has(packId);
  }

  /** Only because the pack was not there: when it is there again, that may be all that was wrong. */
  wasMissing(packId: string): boolean {
    return this.#packs.get(packId)?.missing ?? false;
  }

  /** Whether all of these are held back already. */
  covers(packId: string, slots: BadSlots): boolean {
    const known = this.#packs.get(packId)?.slots;
    if (known === undefined || known === 'all') return known === 'all';
    return slots !== 'all' && slots.isSubsetOf(known);
  }

  /** Objects that say so of this pack, as they stood when this was read. */
  keysOf(packId: string): readonly string[] {
    return this.#packs.get(packId)?.keys ?? [];
  }
}

/** @throws storage errors */
export async function putQuarantine(request: {
  readonly repository: Repository;
  readonly packId: string;
  readonly kind: PackKind;
  readonly slots: BadSlots;
  readonly reason: QuarantineReason;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { repository, packId, kind, slots, reason, signal } = request;
  const { store, domain, clock } = repository;
  const content = {
    version: 1,
    pack: packId,
    kind,
    slots: slots === 'all' ? slots : [...slots].sort((a, b) => a - b),
    reason,
    found_at: new Date(clock.nowMs()).toISOString(),
  } satisfies z.input<typeof recordSchema>;
  const key = quarantineKey({ domain, packId, random: randomBytes(8).toString('hex') });
  await store.put(key, { buffers: [encodeDocument(content)] }, { ifAbsent: true, signal });
}

async function readRecord(
  repository: Repository,
  key: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly slots: BadSlots; readonly reason: QuarantineReason } | undefined> {
  try {
    const { slots, reason } = decodeDocument(key, await repository.store.get(key, { signal }), recordSchema);
    return { slots: slots === 'all' ? slots : new Set(slots), reason };
  } catch (error) {
    // A verify has found the pack good since the listing.
    if (hasCode(error, 'object_not_found')) return undefined;
    if (!hasCode(error, 'repository_damaged')) throw error;
    return { slots: 'all', reason: 'damaged' };
  }
}

function union(a: BadSlots, b: BadSlots): BadSlots {
  return a === 'all' || b === 'all' ? 'all' : a.union(b);
}

/**
 * Reads `moved/`: one list of it and, if there is anything, one of the fences when a forwarding is first asked for; records
 * when they are needed. A record only says where to look next; the chunk id proves what is found there, so a wrong record
 * can lead nowhere but not to wrong content. Records that the verdict over their session does not name are left out.
 */
import { type HoldfastError, hasCode } from '@holdfast/base';
import type { ChunkLocation } from '../index/chunk-location.ts';
import { movedKey, movedName, movedPrefix, type PackKind, parseMovedKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { decodeForwarding, encodeForwarding } from './forwarding-record.ts';
import { ForwardingVerdicts } from './forwarding-verdicts.ts';

/** A frame's place without its range. */
export type SlotPlace = Pick<ChunkLocation, 'packId' | 'slot'>;

/** `settled`: leave out what may still become void, which is for everybody who builds something on it. */
export type FollowOptions = { readonly settled?: boolean };

type Listing = {
  /** Numbers of the records by pack. */
  readonly numbers: Map<string, readonly number[]>;
  /** Read after the records were listed; absent while there are none. */
  verdicts: ForwardingVerdicts | undefined;
};

type PackMoves = {
  /** Of one slot that of the highest number. */
  readonly moves: ReadonlyMap<number, ChunkLocation>;
  /** Slots whose move may still become void, where there are any. */
  readonly open: ReadonlySet<number> | undefined;
  /** A record that could not be used; what the others say still helps a reader. */
  readonly damage: HoldfastError | undefined;
};

/** Slots kept over all packs: about 16 MiB. A compacted pack has up to 200, seldom more. */
const cachedSlots = 128 * 1024;

export class Forwardings {
  readonly #repository: Repository;
  #listing: Promise<Listing> | undefined;
  /** Least recently used first. */
  readonly #packs = new Map<string, Promise<PackMoves>>();
  readonly #slotCounts = new Map<string, number>();
  #slotCount = 0;

  /** Lists when it is first asked: whoever decides by what is forwarded makes a new one in its session. */
  constructor(repository: Repository) {
    this.#repository = repository;
  }

  /** Packs that have a forwarding, if perhaps only one that is void. */
  async packs(): Promise<Iterable<string>> {
    return (await this.#list()).numbers.keys();
  }

  /**
   * Where the frame went from this place, one step.
   * @throws repository_damaged when a record that may know is damaged, storage errors
   */
  async lookup(
    { packId, slot }: SlotPlace,
    { settled = false }: FollowOptions = {},
  ): Promise<ChunkLocation | undefined> {
    const pack = await this.#movesOf(packId);
    const to = settled && pack?.open?.has(slot) ? undefined : pack?.moves.get(slot);
    if (!to && pack?.damage) throw pack.damage;
    return to;
  }

  /** Every place after this one, in order; ends before a place that was met already. Errors as `lookup`. */
  async *chain(from: SlotPlace, options?: FollowOptions): AsyncGenerator<ChunkLocation> {
    const met = new Set<string>();
    let place: SlotPlace | undefined = from;
    while (place) {
      met.add(placeName(place));
      const next: ChunkLocation | undefined = await this.lookup(place, options);
      if (!next || met.has(placeName(next))) return;
      yield next;
      place = next;
    }
  }

  /** All that is forwarded of a pack, one step. @throws repository_damaged unless every record of it is whole */
  async movesOf(packId: string): Promise<ReadonlyMap<number, ChunkLocation>> {
    const pack = await this.#movesOf(packId);
    if (pack?.damage) throw pack.damage;
    return pack?.moves ?? new Map();
  }

  /** Looks for records of these packs that came since. */
  async refresh(packIds: Iterable<string>): Promise<void> {
    const listing = await this.#list();
    const changed = new Map<string, readonly number[]>();
    for (const packId of new Set(packIds)) {
      const numbers = (await this.#listNumbers(movedPrefix(this.#repository.domain, packId))).get(packId) ?? [];
      if (numbers.join() !== (listing.numbers.get(packId) ?? []).join()) changed.set(packId, numbers);
    }
    if (changed.size === 0) return;
    listing.verdicts = await ForwardingVerdicts.read(this.#repository);
    for (const [packId, numbers] of changed) {
      listing.numbers.set(packId, numbers);
      this.#forget(packId);
    }
  }

  /**
   * Puts the next record of a pack.
   * @throws object_exists when somebody else put one since this object listed `moved/`: then look again
   */
  async put(record: {
    readonly sessionId: string;
    readonly packId: string;
    readonly kind: PackKind;
    readonly moves: ReadonlyMap<number, ChunkLocation>;
    readonly signal?: AbortSignal | undefined;
  }): Promise<void> {
    const { packId, signal } = record;
    const { store, domain } = this.#repository;
    const { numbers } = await this.#list();
    const number = (numbers.get(packId)?.at(-1) ?? 0) + 1;
    const key = movedKey({ domain, packId, number });
    await store.put(key, { buffers: [encodeForwarding(record)] }, { ifAbsent: true, signal });
    numbers.set(packId, [...(numbers.get(packId) ?? []), number]);
    this.#forget(packId);
  }

  #list(): Promise<Listing> {
    if (!this.#listing) {
      const listing = this.#listAll();
      this.#listing = listing;
      listing.catch(() => {
        this.#listing = undefined;
      });
    }
    return this.#listing;
  }

  /** In this order: a record that was listed before its session was fenced is one that the verdict names. */
  async #listAll(): Promise<Listing> {
    const numbers = await this.#listNumbers(movedPrefix(this.#repository.domain));
    return { numbers, verdicts: numbers.size > 0 ? await ForwardingVerdicts.read(this.#repository) : undefined };
  }

  async #listNumbers(prefix: string): Promise<Map<string, readonly number[]>> {
    const { store, domain } = this.#repository;
    const numbers = new Map<string, number[]>();
    for await (const { key } of store.list(prefix)) {
      const parsed = parseMovedKey(domain, key);
      if (!parsed) continue;
      const of = numbers.get(parsed.packId);
      if (of) of.push(parsed.number);
      else numbers.set(parsed.packId, [parsed.number]);
    }
    // Keys sort 10 before 2.
    for (const of of numbers.values()) of.sort((a, b) => a - b);
    return numbers;
  }

  async #movesOf(packId: string): Promise<PackMoves | undefined> {
    const { numbers: listed, verdicts } = await this.#list();
    const numbers = listed.get(packId);
    if (!numbers) return undefined;
    const cached = this.#packs.get(packId);
    if (cached) {
      this.#packs.delete(packId);
      this.#packs.set(packId, cached);
      return await cached;
    }
    const loading = this.#load(packId, numbers, verdicts);
    this.#packs.set(packId, loading);
    try {
      const { moves } = await loading;
      if (this.#packs.get(packId) === loading) this.#account(packId, moves.size);
      return await loading;
    } catch (error) {
      if (this.#packs.get(packId) === loading) this.#forget(packId);
      throw error;
    }
  }

  #account(packId: string, slots: number): void {
    this.#slotCount += slots - (this.#slotCounts.get(packId) ?? 0);
    this.#slotCounts.set(packId, slots);
    for (const oldest of this.#packs.keys()) {
      if (this.#slotCount <= cachedSlots || oldest === packId) return;
      this.#forget(oldest);
    }
  }

  #forget(packId: string): void {
    this.#packs.delete(packId);
    this.#slotCount -= this.#slotCounts.get(packId) ?? 0;
    this.#slotCounts.delete(packId);
  }

  /** @param verdicts absent: nothing was listed, and all there is was put by this object */
  async #load(
    packId: string,
    numbers: readonly number[],
    verdicts: ForwardingVerdicts | undefined,
  ): Promise<PackMoves> {
    const { store, domain } = this.#repository;
    const moves = new Map<number, ChunkLocation>();
    const open = new Set<number>();
    let damage: HoldfastError | undefined;
    for (const number of numbers) {
      const key = movedKey({ domain, packId, number });
      try {
        const record = decodeForwarding(key, await store.get(key), packId);
        const { sessionId } = record;
        const standing = (await verdicts?.standingOf({ name: movedName({ packId, number }), sessionId })) ?? 'settled';
        if (standing === 'void') continue;
        for (const [slot, to] of record.moves) {
          moves.set(slot, to);
          if (standing === 'open') open.add(slot);
          else open.delete(slot);
        }
      } catch (error) {
        // It went since the listing, together with the last point that needed it.
        if (hasCode(error, 'object_not_found')) continue;
        if (!hasCode(error, 'repository_damaged')) throw error;
        damage = error;
      }
    }
    return { moves, open: open.size > 0 ? open : undefined, damage };
  }
}

const readers = new WeakMap<Repository, Forwardings>();

/** What readers of this repository share. It may be behind; `followForwardings` looks again before it gives up. */
export function sharedForwardings(repository: Repository): Forwardings {
  let shared = readers.get(repository);
  if (!shared) {
    shared = new Forwardings(repository);
    readers.set(repository, shared);
  }
  return shared;
}

/**
 * Tries a frame's place, then every place that it was forwarded to.
 * @param read throws chunk_corrupt where the frame is not, or not whole
 * @throws the error of the first place when none has it; repository_damaged when a forwarding cannot be read
 */
export async function followForwardings<Result>(
  repository: Repository,
  from: ChunkLocation,
  read: (place: ChunkLocation) => Promise<Result>,
): Promise<Result> {
  let first: unknown;
  const tried = new Map<string, ChunkLocation>();
  const attempt = async (place: ChunkLocation): Promise<{ readonly result: Result } | undefined> => {
    if (tried.has(placeName(place))) return undefined;
    tried.set(placeName(place), place);
    try {
      return { result: await read(place) };
    } catch (error) {
      if (!hasCode(error, 'chunk_corrupt')) throw error;
      first ??= error;
      return undefined;
    }
  };
  const direct = await attempt(from);
  if (direct) return direct.result;
  const forwardings = sharedForwardings(repository);
  for (let refreshed = false; ; refreshed = true) {
    const triedBefore = tried.size;
    for await (const place of forwardings.chain(from)) {
      const found = await attempt(place);
      if (found) return found.result;
    }
    if (refreshed && tried.size === triedBefore) throw first;
    await forwardings.refresh([...tried.values()].map(({ packId }) => packId));
  }
}

export function placeName({ packId, slot }: SlotPlace): string {
  return `${packId}.${slot}`;
}

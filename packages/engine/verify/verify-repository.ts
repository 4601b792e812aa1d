/**
 * Proof that points can be restored. `presence`: every pack that a point's table names is listed on the storage with the
 * length to be a pack - cheap, for every day. `scrub`: every pack is read and unpacked, and every map entry followed.
 * What was moved counts where it is now. What is found lost goes into quarantine, and what is found good comes out.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import { listPacks } from '../collect/liveness.ts';
import type { PackCensus } from '../collect/pack-census.ts';
import { usageDirectory } from '../collect/usage.ts';
import { type DamagedPoint, listPoints, type RestorePoint } from '../manifest/points.ts';
import { Forwardings, type SlotPlace } from '../pack/forwardings.ts';
import { packHeaderBytes, packTrailerBytes } from '../pack/pack-format.ts';
import { Quarantine, putQuarantine } from '../pack/quarantine.ts';
import type { Repository } from '../repository/repository.ts';
import { openSession } from '../session/session.ts';
import { MapChecker } from './check-maps.ts';
import { collectNeeds, isSomewhere, type PointNeed } from './needs.ts';
import { type NeededSlots, slotsOfPoint } from './point-packs.ts';
import { type ScrubOutcome, scrub } from './scrub.ts';

export type VerifyProgress = { readonly doneBytes: number; readonly totalBytes: number };

export type PointVerdict = {
  readonly pointId: string;
  readonly resource: string;
  /** No problem was found. */
  readonly ok: boolean;
  /** Whether all of it was looked at; false when time was up before. */
  readonly checked: boolean;
  /** Sentences that say what is lost. */
  readonly problems: readonly string[];
};

export type VerifyReport = {
  readonly scope: 'presence' | 'scrub';
  /** In the order of time; damaged manifests last. */
  readonly points: readonly PointVerdict[];
  readonly packs: {
    readonly checked: number;
    /** Not there, with something in them that is nowhere else. */
    readonly missing: number;
    readonly damaged: number;
    /** Damaged too, but only in chunks that no point needs: unused, or healed. */
    readonly contained: number;
    /** Found good within the age asked for, so not read again. */
    readonly young: number;
    /** Not read, because time was up. */
    readonly left: number;
  };
  /** False when quarantine and records of this run could not be written. */
  readonly recorded: boolean;
  /** Bytes of packs read. */
  readonly checkedBytes: number;
};

export type VerifyOptions = {
  readonly repository: Repository;
  readonly scope: VerifyReport['scope'];
  /** Only the points of this resource and the packs they need. */
  readonly resource?: string | undefined;
  /** Presence: as of `collect`, which keeps the same pages there. A scrub reads everything itself. */
  readonly cacheDirectory?: string | undefined;
  /** Scrub: only packs whose last good whole read is older. */
  readonly maxAgeMs?: number | undefined;
  /** Scrub: no pack and no map is begun after so long. */
  readonly maxDurationMs?: number | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Damage is an answer, not an error. @throws storage errors, key_missing */
export async function verifyRepository(options: VerifyOptions): Promise<VerifyReport> {
  const { repository, scope, resource, signal } = options;
  const { clock } = repository;
  const deadlineMs = options.maxDurationMs === undefined ? Infinity : clock.monotonicMs() + options.maxDurationMs;
  await using _session = await openSession({ repository, role: 'reader', signal });
  const quarantine = await Quarantine.read(repository, signal);
  const { points, damaged } = await listPoints({ repository, resource, signal });
  const census = await listPacks(repository, signal);
  const forwardings = new Forwardings(repository);
  const isThere = (packId: string) => sizeIn(census, packId) !== undefined;
  const cache = scope === 'presence' &&
    options.cacheDirectory !== undefined && {
      directory: usageDirectory(repository, options.cacheDirectory, 'pages'),
      isTrusted: ({ packId }: SlotPlace) => isThere(packId) && !quarantine.hasPack(packId),
    };
  const needs = await collectNeeds({ repository, points, forwardings, census, cache: cache || undefined, signal });
  const present = [...needs.packs].filter((ordinal) => census.isListed(ordinal));
  const candidates = present
    .map((ordinal) => ({
      packId: census.idOf(ordinal),
      kind: census.kindOf(ordinal),
      sizeBytes: census.sizeOf(ordinal),
    }))
    // What was missing and is there again is looked at in any case: that may have been all.
    .filter(({ packId }) => scope === 'scrub' || quarantine.wasMissing(packId));
  const scrubbed = await scrub({
    repository,
    packs: candidates,
    quarantine,
    isListed: isThere,
    maxAgeMs: options.maxAgeMs,
    deadlineMs,
    onProgress: options.onProgress,
    signal,
  });
  const judge = new Judge({ repository, forwardings, needed: needs.packs, census, quarantine, scrubbed });
  const maps = new MapChecker({
    repository,
    forwardings,
    isBad: (place) => judge.isBad(place),
    patches: scope === 'scrub' ? 'prove' : 'trust',
  });
  const verdicts: PointVerdict[] = [];
  const harmful = new Set<string>();
  for (const need of needs.points) {
    const { point } = need;
    const isLate = clock.monotonicMs() >= deadlineMs;
    const suspicious = await judge.suspicionsOf(need, signal);
    const suspicions = [...suspicious.values()];
    const isReadable = !suspicious.has('');
    // A table counts what a healed chunk does not need any more: only the maps know.
    const look = isReadable && (suspicions.length > 0 || (scope === 'scrub' && !isLate));
    const found = look ? await maps.problemsOf(point, signal) : [];
    const problems = !isReadable ? suspicions : found.length > 0 ? [...suspicions, ...found] : [];
    if (problems.length > 0) for (const packId of suspicious.keys()) harmful.add(packId);
    const { id: pointId, resource: of } = point.manifest;
    const checked = scope === 'presence' || (look && scrubbed.leftPacks === 0) || !isReadable;
    verdicts.push({ pointId, resource: of, ok: problems.length === 0, checked, problems });
  }
  const damagedPacks = [...scrubbed.problems.keys()];
  const contained = damagedPacks.filter((packId) => !harmful.has(packId) && judge.isLocated(packId));
  const isRecorded = await judge.putMissing(scrubbed.isRecorded, signal);
  return {
    scope,
    points: [...verdicts, ...damaged.map(damagedVerdict)],
    packs: {
      checked: scope === 'scrub' ? scrubbed.checkedPacks : present.length,
      missing: judge.missing.size,
      damaged: damagedPacks.length - contained.length,
      contained: contained.length,
      young: scrubbed.youngPacks,
      left: scrubbed.leftPacks,
    },
    recorded: isRecorded,
    checkedBytes: scrubbed.checkedBytes,
  };
}

/** Throws the right problem when a report is not clean; for callers that only want to know. @throws chunk_corrupt */
export function assertClean(report: VerifyReport): void {
  const bad = report.points.filter((point) => !point.ok);
  if (bad.length === 0 && report.packs.damaged === 0) return;
  throw new HoldfastError(
    'chunk_corrupt',
    `${bad.length} of ${report.points.length} points cannot be restored whole; ${report.packs.damaged} packs are damaged, ${report.packs.missing} missing.`,
    { facts: { points: bad.map(({ pointId }) => pointId) } },
  );
}

type Evidence = {
  readonly repository: Repository;
  readonly forwardings: Forwardings;
  /** Ordinals of the census. */
  readonly needed: ReadonlySet<number>;
  readonly census: PackCensus;
  readonly quarantine: Quarantine;
  readonly scrubbed: ScrubOutcome;
};

/** Whether frames can be had, by what is listed, in quarantine, and was read in this run. */
class Judge {
  /** Packs that are not there, or too short to be one, with slots that are nowhere else. */
  readonly missing = new Map<string, NeededSlots['kind']>();
  readonly #evidence: Evidence;
  /** Packs that cannot be relied on whole. */
  readonly #doubtful: ReadonlySet<string>;
  /** The same, by the census's ordinals. */
  readonly #doubtfulOrdinals: ReadonlySet<number>;

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    const { census, needed, quarantine, scrubbed } = evidence;
    const doubtful = new Map<string, number>();
    for (const ordinal of needed) {
      const packId = census.idOf(ordinal);
      if (!this.#isWhole(packId) || scrubbed.badSlots.has(packId) || quarantine.hasPack(packId)) {
        doubtful.set(packId, ordinal);
      }
    }
    this.#doubtful = new Set(doubtful.keys());
    this.#doubtfulOrdinals = new Set(doubtful.values());
  }

  /** Found unreadable now, or before and not looked at since. */
  isBad(place: SlotPlace): boolean {
    const { scrubbed, quarantine } = this.#evidence;
    const found = scrubbed.badSlots.get(place.packId);
    if (found) return found === 'all' || found.has(place.slot);
    return !scrubbed.goodPacks.has(place.packId) && quarantine.has(place);
  }

  /** Whether it is known which frames of a damaged pack are bad. */
  isLocated(packId: string): boolean {
    const slots = this.#evidence.scrubbed.badSlots.get(packId);
    return slots !== undefined && slots !== 'all';
  }

  /**
   * Packs with slots of the point that cannot be had anywhere, going by its table alone; with a sentence each. The one about
   * a table that cannot be read has no pack: ''.
   */
  async suspicionsOf(need: PointNeed, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, string>> {
    const doubtful = this.#doubtfulOrdinals;
    if (need.problem !== undefined) return new Map([['', need.problem]]);
    if (doubtful.size === 0 || !Iterator.from(need.packs).some((ordinal) => doubtful.has(ordinal))) return new Map();
    try {
      return await this.#suspicionsOf(need.point, signal);
    } catch (error) {
      if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
      return new Map([['', `pack table: ${error.message}`]]);
    }
  }
  /** Puts what is missing into quarantine, unless it is there. Answers whether that could be done. */
  async putMissing(isAllowed: boolean, signal: AbortSignal | undefined): Promise<boolean> {
    const { repository, quarantine } = this.#evidence;
    for (const [packId, kind] of this.missing) {
      if (!isAllowed) return false;
      if (quarantine.covers(packId, 'all')) continue;
      try {
        await putQuarantine({ repository, packId, kind, slots: 'all', reason: 'missing', signal });
      } catch (error) {
        if (!hasCode(error, 'storage_denied')) throw error;
        return false;
      }
    }
    return isAllowed;
  }

  async #suspicionsOf(point: RestorePoint, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, string>> {
    const suspicions = new Map<string, string>();
    for await (const { packId, kind, slots } of slotsOfPoint(this.#evidence.repository, point.manifest, signal)) {
      if (!this.#doubtful.has(packId)) continue;
      for (const slot of slots) {
        if (await this.#isSomewhere({ packId, slot })) continue;
        suspicions.set(packId, this.#sentence(packId));
        if (!this.#isWhole(packId)) this.missing.set(packId, kind);
        break;
      }
    }
    return suspicions;
  }

  #isWhole(packId: string): boolean {
    return (this.#sizeOf(packId) ?? 0) >= packHeaderBytes + packTrailerBytes;
  }

  /** Undefined when the pack is not there, or was gone when it was to be read. */
  #sizeOf(packId: string): number | undefined {
    const { census, scrubbed } = this.#evidence;
    return scrubbed.vanished.has(packId) ? undefined : sizeIn(census, packId);
  }

  async #isSomewhere(place: SlotPlace): Promise<boolean> {
    const isHere = (candidate: SlotPlace) => this.#isWhole(candidate.packId) && !this.isBad(candidate);
    return await isSomewhere(this.#evidence.forwardings, { place, isHere });
  }

  #sentence(packId: string): string {
    if (this.#sizeOf(packId) === undefined) return `Pack ${packId} is missing.`;
    return this.#isWhole(packId) ? `Pack ${packId} holds damaged chunks.` : `Pack ${packId} is cut short.`;
  }
}

/** Undefined when the pack was not listed. */
function sizeIn(census: PackCensus, packId: string): number | undefined {
  const ordinal = census.findId(packId);
  return ordinal >= 0 && census.isListed(ordinal) ? census.sizeOf(ordinal) : undefined;
}

function damagedVerdict({ pointId, resource, error }: DamagedPoint): PointVerdict {
  return { pointId, resource, ok: false, checked: true, problems: [error.message] };
}

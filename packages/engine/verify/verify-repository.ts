/**
 * Proof that points can be restored. `presence`: every pack that a point's table names is listed on the storage with the
 * length to be a pack - cheap, for every day. `scrub`: every pack is read and unpacked, and every map entry followed.
 */
import { availableParallelism } from 'node:os';
import { HoldfastError, hasCode, runLanes } from '@holdfast/base';
import { type DamagedPoint, listPoints } from '../manifest/points.ts';
import { packHeaderBytes, packTrailerBytes } from '../pack/pack-format.ts';
import { type PackKind, packsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { openSession } from '../session/session.ts';
import { MapChecker } from './check-maps.ts';
import { packsOfPoint } from './point-packs.ts';
import { scrubPack } from './scrub-pack.ts';

/** Each lane holds one pack (32 or 64 MiB); decompression inside a pack uses the pool. */
const scrubLanes = Math.min(4, availableParallelism() + 1);

export type VerifyProgress = { readonly doneBytes: number; readonly totalBytes: number };

export type PointVerdict = {
  readonly pointId: string;
  readonly resource: string;
  readonly ok: boolean;
  /** Sentences that say what is lost. */
  readonly problems: readonly string[];
};

export type VerifyReport = {
  readonly scope: 'presence' | 'scrub';
  /** In the order of time; damaged manifests last. */
  readonly points: readonly PointVerdict[];
  readonly packs: { readonly checked: number; readonly missing: number; readonly damaged: number };
  /** Bytes of packs read. */
  readonly checkedBytes: number;
};

export type VerifyOptions = {
  readonly repository: Repository;
  readonly scope: VerifyReport['scope'];
  /** Only the points of this resource and the packs they need. */
  readonly resource?: string | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

type ListedPack = { readonly kind: PackKind; readonly sizeBytes: number };
type Damage = {
  readonly problems: ReadonlyMap<string, string>;
  readonly badSlots: ReadonlyMap<string, ReadonlySet<number>>;
};

/** Damage is an answer, not an error. @throws storage errors, key_missing */
export async function verifyRepository(options: VerifyOptions): Promise<VerifyReport> {
  const { repository, scope, resource, signal } = options;
  await using _session = await openSession({ repository, role: 'reader', signal });
  const { points, damaged } = await listPoints({ repository, resource, signal });
  const listed = await listPacks(repository, signal);
  const needs = new Map<string, { readonly packs: Set<string>; readonly problems: string[] }>();
  const needed = new Set<string>();
  for (const { manifest } of points) {
    const need = { packs: new Set<string>(), problems: [] as string[] };
    needs.set(manifest.id, need);
    try {
      for await (const { packId } of packsOfPoint(repository, manifest, signal)) {
        need.packs.add(packId);
        needed.add(packId);
      }
    } catch (error) {
      if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
      need.problems.push(`pack table: ${error.message}`);
    }
  }
  const damage =
    scope === 'scrub' ? await scrub(options, needed, listed) : { problems: new Map(), badSlots: new Map() };
  const maps = new MapChecker(repository, damage.badSlots);
  const verdicts: PointVerdict[] = [];
  for (const point of points) {
    const { id } = point.manifest;
    const problems = needs.get(id)!.problems;
    for (const packId of needs.get(id)!.packs) {
      const pack = listed.get(packId);
      if (!pack) problems.push(`Pack ${packId} is missing.`);
      else if (pack.sizeBytes < packHeaderBytes + packTrailerBytes) problems.push(`Pack ${packId} is cut short.`);
    }
    if (scope === 'scrub') problems.push(...(await maps.problemsOf(point, signal)));
    verdicts.push({ pointId: id, resource: point.manifest.resource, ok: problems.length === 0, problems });
  }
  const present = [...needed].filter((packId) => listed.has(packId));
  return {
    scope,
    points: [...verdicts, ...damaged.map(damagedVerdict)],
    packs: { checked: present.length, missing: needed.size - present.length, damaged: damage.problems.size },
    checkedBytes: scope === 'scrub' ? present.reduce((sum, packId) => sum + listed.get(packId)!.sizeBytes, 0) : 0,
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

async function listPacks(repository: Repository, signal: AbortSignal | undefined): Promise<Map<string, ListedPack>> {
  const packs = new Map<string, ListedPack>();
  for (const kind of ['data', 'meta'] as const) {
    for await (const { key, sizeBytes } of repository.store.list(packsPrefix(repository.domain, kind), { signal })) {
      packs.set(key.slice(key.lastIndexOf('/') + 1), { kind, sizeBytes });
    }
  }
  return packs;
}

async function scrub(
  options: VerifyOptions,
  needed: ReadonlySet<string>,
  listed: ReadonlyMap<string, ListedPack>,
): Promise<Damage> {
  const { repository, signal } = options;
  const jobs = [...needed].flatMap((packId) => {
    const pack = listed.get(packId);
    return pack ? [{ packId, ...pack }] : [];
  });
  const totalBytes = jobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  const problems = new Map<string, string>();
  const badSlots = new Map<string, Set<number>>();
  await runLanes({
    jobs,
    lanes: scrubLanes,
    signal,
    run: async ({ packId, kind, sizeBytes }) => {
      const verdict = await scrubPack(repository, { packId, kind, signal });
      if (verdict.badSlots.length > 0) badSlots.set(packId, new Set(verdict.badSlots));
      if (verdict.problem ?? verdict.badSlots.length > 0) {
        problems.set(packId, verdict.problem ?? `${verdict.badSlots.length} chunks of pack ${packId} are damaged.`);
      }
      doneBytes += sizeBytes;
      options.onProgress?.({ doneBytes, totalBytes });
    },
  });
  return { problems, badSlots };
}

function damagedVerdict({ pointId, resource, error }: DamagedPoint): PointVerdict {
  return { pointId, resource, ok: false, problems: [error.message] };
}

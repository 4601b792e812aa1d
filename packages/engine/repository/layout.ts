/** Where things lie on the storage (repository-format.md); the only place that builds keys. */
import { HoldfastError } from '@holdfast/base';

export const repositoryKey = 'repo.json';
export const keysPrefix = 'keys/';
export const sessionsPrefix = 'sess/';
export const fencesPrefix = 'gc/fence/';
export const collectionPrefix = 'gc/';
export const sessionSpillsPrefix = 'sess-idx/';

export type PackKind = 'data' | 'meta';

export function keyRecordKey(keyId: string): string {
  return `${keysPrefix}${keyId}`;
}

export function sessionKey(sessionId: string): string {
  return `${sessionsPrefix}${sessionId}`;
}

/** Parts of the session's index that did not fit in memory; nobody else reads them. */
export function sessionSpillPrefix(sessionId: string): string {
  return `${sessionSpillsPrefix}${sessionId}/`;
}

/** The session of a spilled part, or undefined for a key that is none. */
export function parseSessionSpillKey(key: string): string | undefined {
  return /^sess-idx\/([^/]+)\/./.exec(key)?.[1];
}

export function fenceKey(sessionId: string): string {
  return `${fencesPrefix}${sessionId}`;
}

/** Which point of a fenced session counts. */
export function verdictKey(sessionId: string): string {
  return `${fenceKey(sessionId)}.verdict`;
}

/** What a key below `gc/fence/` is, or undefined for one that is neither. */
export function parseFenceKey(key: string): { sessionId: string; kind: 'fence' | 'verdict' } | undefined {
  const match = /^(ses_[0-9a-f]{32})(\.verdict)?$/.exec(key.slice(fencesPrefix.length));
  return match ? { sessionId: match[1]!, kind: match[2] === undefined ? 'fence' : 'verdict' } : undefined;
}

export const epochParts = ['condemned', 'holders', 'outcome'] as const;
export type EpochPart = (typeof epochParts)[number];

/** @param epoch `00000012-3fa9c1d2`: the number orders, the random digits make sure that no name ever comes again */
export function epochKey(epoch: string, part: EpochPart): string {
  return `${collectionPrefix}${epoch}-${part}`;
}

/** Epoch and part of a key below `gc/`, or undefined for one that is of no epoch. */
export function parseEpochKey(key: string): { epoch: string; part: EpochPart } | undefined {
  const match = /^(\d{8}-[0-9a-f]{8})-(condemned|holders|outcome)$/.exec(key.slice(collectionPrefix.length));
  return match ? { epoch: match[1]!, part: match[2] as EpochPart } : undefined;
}

export function packsPrefix(domain: string, kind: PackKind): string {
  return `d/${domain}/${kind}/`;
}

export function packKey(pack: { readonly domain: string; readonly kind: PackKind; readonly packId: string }): string {
  return `${packsPrefix(pack.domain, pack.kind)}${pack.packId.slice(0, 2)}/${pack.packId}`;
}

/** Forwardings of all packs, or of one. */
export function movedPrefix(domain: string, packId?: string): string {
  return packId === undefined ? `d/${domain}/moved/` : `d/${domain}/moved/${packId}.`;
}

export function movedKey(record: {
  readonly domain: string;
  readonly packId: string;
  readonly number: number;
}): string {
  return `${movedPrefix(record.domain)}${movedName(record)}`;
}

/** How a verdict names a forwarding. */
export function movedName({ packId, number }: { readonly packId: string; readonly number: number }): string {
  return `${packId}.${number}`;
}

/** Pack id and number out of a forwarding's key, or undefined for a key that is none. */
export function parseMovedKey(domain: string, key: string): { packId: string; number: number } | undefined {
  const match = /^([0-9a-f]{64})\.([1-9]\d{0,8})$/.exec(key.slice(movedPrefix(domain).length));
  return match ? { packId: match[1]!, number: Number(match[2]) } : undefined;
}

/** Pack id of a pack's key. */
export function packIdOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

export function quarantinePrefix(domain: string): string {
  return `d/${domain}/bad/`;
}

export function quarantineKey(record: {
  readonly domain: string;
  readonly packId: string;
  readonly random: string;
}): string {
  return `${quarantinePrefix(record.domain)}${record.packId}.${record.random}`;
}

/** Pack id out of a quarantine's key, or undefined for a key that is none. */
export function parseQuarantineKey(domain: string, key: string): string | undefined {
  return /^([0-9a-f]{64})\.[0-9a-f]+$/.exec(key.slice(quarantinePrefix(domain).length))?.[1];
}

export function scrubPrefix(domain: string): string {
  return `d/${domain}/scrub/`;
}

export function scrubKey(record: { readonly domain: string; readonly atMs: number; readonly random: string }): string {
  return `${scrubPrefix(record.domain)}${pointTimestamp(record.atMs)}-${record.random}`;
}

export function indexPrefix(domain: string): string {
  return `d/${domain}/idx/`;
}

export function pointsPrefix(domain: string, resource?: string): string {
  return resource === undefined ? `d/${domain}/rp/` : `d/${domain}/rp/${resource}/`;
}

/** `20261121T085500Z`: sorts by time, fits object keys. */
export function pointTimestamp(createdAtMs: number): string {
  return new Date(createdAtMs).toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
}

export function pointKey(point: {
  readonly domain: string;
  readonly resource: string;
  readonly createdAtMs: number;
  readonly pointId: string;
}): string {
  return `${pointsPrefix(point.domain, point.resource)}${pointTimestamp(point.createdAtMs)}-${point.pointId}`;
}

/** Resource and point id out of a manifest's key, or undefined for a key that is none. */
export function parsePointKey(domain: string, key: string): { resource: string; pointId: string } | undefined {
  const match = /^(.+)\/\d{8}T\d{6}Z-(bkp_[0-9a-f]{32})$/.exec(key.slice(pointsPrefix(domain).length));
  return match ? { resource: match[1]!, pointId: match[2]! } : undefined;
}

/** Trash records; with a point, those of this one. */
export function tombsPrefix(domain: string, pointId?: string): string {
  return pointId === undefined ? `d/${domain}/tomb/` : `d/${domain}/tomb/${pointId}.`;
}

/** @param number 1, 2, ...; the highest counts */
export function tombKey(tomb: { readonly domain: string; readonly pointId: string; readonly number: number }): string {
  return `${tombsPrefix(tomb.domain, tomb.pointId)}${tomb.number}`;
}

/** Point and number out of a trash record's key, or undefined for a key that is none. */
export function parseTombKey(domain: string, key: string): { pointId: string; number: number } | undefined {
  const match = /^(bkp_[0-9a-f]{32})\.([1-9]\d{0,8})$/.exec(key.slice(tombsPrefix(domain).length));
  return match ? { pointId: match[1]!, number: Number(match[2]) } : undefined;
}

const resourcePattern = /^(volumes|instances)\/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** @throws resource_invalid */
export function checkResource(resource: string): string {
  if (!resourcePattern.test(resource))
    throw new HoldfastError('resource_invalid', `"${resource}" is not a resource name.`);
  return resource;
}

/** Where things lie on the storage (repository-format.md); the only place that builds keys. */
import { HoldfastError } from '@holdfast/base';

export const repositoryKey = 'repo.json';
export const keysPrefix = 'keys/';
export const sessionsPrefix = 'sess/';
export const fencesPrefix = 'gc/fence/';
export const collectionPrefix = 'gc/';

export type PackKind = 'data' | 'meta';

export function keyRecordKey(keyId: string): string {
  return `${keysPrefix}${keyId}`;
}

export function sessionKey(sessionId: string): string {
  return `${sessionsPrefix}${sessionId}`;
}

/** Parts of the session's index that did not fit in memory; nobody else reads them. */
export function sessionSpillPrefix(sessionId: string): string {
  return `sess-idx/${sessionId}/`;
}

export function fenceKey(sessionId: string): string {
  return `${fencesPrefix}${sessionId}`;
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
  return `${movedPrefix(record.domain, record.packId)}${record.number}`;
}

/** Pack id and number out of a forwarding's key, or undefined for a key that is none. */
export function parseMovedKey(domain: string, key: string): { packId: string; number: number } | undefined {
  const match = /^([0-9a-f]{64})\.([1-9]\d{0,8})$/.exec(key.slice(movedPrefix(domain).length));
  return match ? { packId: match[1]!, number: Number(match[2]) } : undefined;
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

const resourcePattern = /^(volumes|instances)\/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** @throws resource_invalid */
export function checkResource(resource: string): string {
  if (!resourcePattern.test(resource))
    throw new HoldfastError('resource_invalid', `"${resource}" is not a resource name.`);
  return resource;
}

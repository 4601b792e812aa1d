/** Ids are UUIDv7 with a type prefix (`bkp_0193...`): sortable by creation time, unique without coordination. */
import { randomFillSync } from 'node:crypto';
import { type Clock, systemClock } from './clock.ts';

/** In a repository: points, sessions of writers, series, keys. In the database: one for each table of entities. */
export type IdPrefix =
  | 'bkp'
  | 'ses'
  | 'ser'
  | 'key'
  | 'repo'
  | 'op'
  | 'acc'
  | 'usr'
  | 'mem'
  | 'lgn'
  | 'tok'
  | 'att'
  | 'aud'
  | 'evt'
  | 'step'
  | 'task'
  | 'log'
  | 'req';

/** `prefix_` + 32 lower-case hex digits of a UUIDv7 (RFC 9562), dashes left out so that ids fit object keys. */
export function newId(prefix: IdPrefix, clock: Clock = systemClock): string {
  const bytes = randomFillSync(Buffer.alloc(16));
  bytes.writeUIntBE(clock.nowMs(), 0, 6);
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  return `${prefix}_${bytes.toString('hex')}`;
}

export function isId(prefix: IdPrefix, text: string): boolean {
  return new RegExp(`^${prefix}_[0-9a-f]{32}$`).test(text);
}

/** When the id was made, by the clock of its maker: milliseconds since 1970. */
export function timeOfId(id: string): number {
  return Number.parseInt(id.slice(id.indexOf('_') + 1).slice(0, 12), 16);
}

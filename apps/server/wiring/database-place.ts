import { join } from 'node:path';
import type { DatabasePlace } from '@holdfast/database';
import type { Configuration } from '../configuration/read-configuration.ts';

/** Which database a configuration means. */
export function placeOf({ databaseUrl, dataDirectory }: Configuration): DatabasePlace {
  if (databaseUrl !== undefined) return { kind: 'external', url: databaseUrl };
  return { kind: 'embedded', directory: join(dataDirectory, 'db') };
}

/** The documents of a collection's epoch (ADR 0007). */
import { z } from 'zod';

const packId = z.string().regex(/^[0-9a-f]{64}$/);

const condemnedPackSchema = z.strictObject({
  domain: z.string(),
  pack: packId,
  kind: z.enum(['data', 'meta']),
  /** Its live frames are forwarded: the pack goes, the forwardings stay. */
  moved: z.boolean(),
});

export const condemnedSchema = z.strictObject({ version: z.literal(1), packs: z.array(condemnedPackSchema) });

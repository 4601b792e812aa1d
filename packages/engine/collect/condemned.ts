/** What is condemned: the document that writers read before they use a pack (ADR 0007). */
import { z } from 'zod';

export const packIdSchema = z.string().regex(/^[0-9a-f]{64}$/);

const condemnedPackSchema = z.strictObject({
  domain: z.string(),
  pack: packIdSchema,
  kind: z.enum(['data', 'meta']),
  /** Its live frames are forwarded: the pack goes, the forwardings stay. */
  moved: z.boolean(),
});
export type CondemnedPack = z.output<typeof condemnedPackSchema>;

export const condemnedSchema = z.strictObject({ version: z.literal(1), packs: z.array(condemnedPackSchema) });

/** What every call answers when it fails: RFC 9457, media type `application/problem+json`. */
import { z } from 'zod';

export const problemMediaType = 'application/problem+json';

export const problem = z
  .object({
    type: z.url().describe('One URI for each code'),
    title: z.string().describe('The same for every occurrence of the code'),
    status: z.int(),
    detail: z.string().describe('What happened here, for people'),
    instance: z.string().describe('This occurrence; the log of the server has it under the same name'),
    code: z.string().describe('What scripts may rely on; see docs/errors.md'),
    retryable: z.boolean().describe('Whether the same request may succeed later'),
    retry_after_s: z.int().optional().describe('After how many seconds'),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe('JSON pointer into the request, such as /body/email'),
          message: z.string(),
        }),
      )
      .optional(),
    remedy: z.string().describe('What to do, for people'),
    remedies: z
      .array(z.object({ action: z.string(), href: z.string(), method: z.string() }))
      .optional()
      .describe('Calls that lead on'),
    facts: z.record(z.string(), z.union([z.string(), z.number(), z.array(z.string())])).optional(),
  })
  .meta({ id: 'Problem' });
export type ApiProblem = z.infer<typeof problem>;

/** Writes docs/openapi.json; run it after a change of the contracts. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { openApiPath, renderOpenApi } from './docs/openapi-file.ts';

await writeFile(resolve(import.meta.dirname, '..', openApiPath), renderOpenApi());

/** Writes docs/errors.md; run it after a change of the error catalogue. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { errorPagePath, renderErrorPage } from './docs/error-page.ts';

await writeFile(resolve(import.meta.dirname, '..', errorPagePath), renderErrorPage());

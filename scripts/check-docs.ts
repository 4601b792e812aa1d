/** The suite `docs`: generated pages are current and links inside the repository lead somewhere. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { errorPagePath, renderErrorPage } from './docs/error-page.ts';
import { brokenLinks } from './docs/links.ts';
import { openApiPath, renderOpenApi } from './docs/openapi-file.ts';

const root = resolve(import.meta.dirname, '..');
const problems = (await brokenLinks({ root })).map((link) => `leads nowhere: ${link}`);
const page = await readFile(join(root, errorPagePath), 'utf8').catch(() => '');
if (page !== renderErrorPage()) problems.push(`${errorPagePath} is stale; run node scripts/generate-error-docs.ts`);
const document = await readFile(join(root, openApiPath), 'utf8').catch(() => '');
if (document !== renderOpenApi()) problems.push(`${openApiPath} is stale; run node scripts/generate-openapi.ts`);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

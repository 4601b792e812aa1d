/** The suite `layers`: prints what breaks a layer and exits with 1, or says nothing. */
import { resolve } from 'node:path';
import { checkLayers } from './layers/check.ts';

const problems = await checkLayers({ root: resolve(import.meta.dirname, '..') });
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

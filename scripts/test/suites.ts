/** The suites in the order they run: what fails fastest comes first. */
import { runCheck } from './command-suite.ts';
import { runTests } from './node-suite.ts';
import type { Suite } from './suite.ts';

const tool = (name: string): string => `node_modules/${name}`;

export const suites: readonly Suite[] = [
  {
    name: 'types',
    about: 'TypeScript, strict',
    when: 'always',
    limitMinutes: 1,
    run: runCheck([tool('typescript/bin/tsc'), '-p', 'tsconfig.json']),
  },
  {
    name: 'lint',
    about: 'oxlint with types',
    when: 'always',
    limitMinutes: 1,
    run: runCheck([tool('oxlint/bin/oxlint'), '--type-aware', '--deny-warnings']),
  },
  {
    name: 'format',
    about: 'Biome',
    when: 'always',
    limitMinutes: 1,
    run: runCheck([tool('@biomejs/biome/bin/biome'), 'format', '.']),
  },
  {
    name: 'layers',
    about: 'who may import what',
    when: 'always',
    limitMinutes: 1,
    run: runCheck(['scripts/check-layers.ts']),
  },
  {
    name: 'unused',
    about: 'knip: files, exports and dependencies nobody uses',
    when: 'always',
    limitMinutes: 1,
    run: runCheck([tool('knip/bin/knip.js'), '--no-progress']),
  },
  {
    name: 'docs',
    about: 'generated pages are current, links lead somewhere',
    when: 'always',
    limitMinutes: 1,
    run: runCheck(['scripts/check-docs.ts']),
  },
  { name: 'unit', about: 'pure and quick', when: 'always', limitMinutes: 10, run: runTests('unit') },
  { name: 'integ', about: 'against the real thing', when: 'always', limitMinutes: 13, run: runTests('integ') },
  { name: 'e2e', about: 'whole stories', when: 'always', limitMinutes: 6, run: runTests('e2e') },
  { name: 'long', about: 'exhaustive and large', when: 'all', limitMinutes: 55, run: runTests('long') },
];

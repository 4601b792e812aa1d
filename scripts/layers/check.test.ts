import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { checkFile, checkLayers } from './check.ts';

const engine = {
  path: 'packages/engine/map/page.ts',
  folder: 'packages/engine',
  declared: ['@holdfast/storage', 'zod'],
};

function check(source: string, kind: 'library' | 'program' | 'test' = 'library'): readonly string[] {
  return checkFile({ ...engine, drivers: ['LocalStore'], source, kind });
}

test('declared packages, node and files of the package itself may be imported', () => {
  const source = `import { z } from 'zod/mini';
import type { BlobStore } from '@holdfast/storage';
import { open } from 'node:fs/promises';
export { chunk } from '../chunk/chunk.ts';
const worker = new URL('./worker.ts', import.meta.url);`;
  assert.deepEqual(check(source), []);
});

for (const [what, source] of [
  ['a package that is not declared', `import { nbd } from '@holdfast/hypervisor';`],
  ['a subpath of it', `import { nbd } from '@holdfast/hypervisor/nbd/client.ts';`],
  ['an npm package that is not declared', `import _ from 'lodash';`],
  ['a type', `import type { Nbd } from '@holdfast/hypervisor';`],
  ['an import over several lines', `import {\n  a,\n  b,\n} from '@holdfast/hypervisor';`],
  ['a re-export', `export * from '@holdfast/hypervisor';`],
  ['an import for its effect', `import '@holdfast/hypervisor';`],
  ['a dynamic import', `const nbd = await import('@holdfast/hypervisor');`],
  ['a relative path out of the package', `import { nbd } from '../../hypervisor/nbd/client.ts';`],
  ['a worker out of the package', `new Worker(new URL('../../hypervisor/worker.ts', import.meta.url));`],
  ['a storage driver', `import { type BlobStore, LocalStore } from '@holdfast/storage';`],
  ['a fixture', `import { made } from './page-fixture.ts';`],
  ['the environment', `const home = process.env['HOME'];`],
  ['the arguments', `const [first] = process.argv;`],
  ['the end of the process', `if (failed) process.exit(1);`],
  ['the process by import', `import { env } from 'node:process';`],
] as const) {
  test(`below apps, ${what} is refused`, () => {
    assert.equal(check(source).length, 1, source);
  });
}

test('programs may read their process and choose drivers', () => {
  const source = `import { LocalStore } from '@holdfast/storage';\nprocess.exit(process.argv.length);`;
  assert.deepEqual(check(source, 'program'), []);
});

test('comments import nothing', () => {
  assert.deepEqual(check(`// import 'lodash'\n/* process.exit(1) */ const a = 1; // process.env`), []);
});

test('the line of the import is named', () => {
  assert.match(check(`\n\nimport 'lodash';`)[0]!, /page\.ts:3: lodash/);
});

async function tree(files: Readonly<Record<string, string>>) {
  const root = await mkdtemp(join(tmpdir(), 'layers-'));
  for (const [path, text] of Object.entries({ 'package.json': '{}', ...files })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true }) };
}

test('a driver is what the public face of storage lists from its drivers', async () => {
  await using made = await tree({
    'packages/storage/package.json': '{"name":"@holdfast/storage"}',
    'packages/storage/index.ts': `export { type Options, ShelfStore } from './drivers/shelf/store.ts';`,
    'packages/engine/package.json': '{"name":"@holdfast/engine","dependencies":{"@holdfast/storage":"0"}}',
    'packages/engine/a.ts': `import { ShelfStore } from '@holdfast/storage';`,
  });
  assert.match((await checkLayers(made)).join(), /^packages\/engine\/a\.ts:1: ShelfStore is chosen/);
});

test('bench reaches into the packages that it declares, and into no other', async () => {
  await using made = await tree({
    'bench/package.json': '{"name":"@holdfast/bench","dependencies":{"@holdfast/engine":"0"}}',
    'bench/a.ts': `import '../packages/engine/map/page.ts';\nimport '../packages/storage/a.ts';`,
  });
  const problems = await checkLayers(made);
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /bench\/a\.ts:2: .* leaves the package/);
});

test('a dependency against the arrows is refused even when it is declared', async () => {
  await using made = await tree({
    'packages/storage/package.json': '{"name":"@holdfast/storage","dependencies":{"@holdfast/engine":"0"}}',
    'packages/storage/a.ts': `import '@holdfast/engine';`,
  });
  const problems = await checkLayers(made);
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /storage may not depend on @holdfast\/engine/);
});

test('an optional dependency is declared like any other', async () => {
  await using made = await tree({
    'packages/base/package.json': '{"name":"@holdfast/base","optionalDependencies":{"binaries":"0"}}',
    'packages/base/a.ts': `const place = import.meta.resolve('binaries');`,
    'packages/base/b.ts': `const place = import.meta.resolve('others');`,
  });
  const problems = await checkLayers(made);
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /b\.ts:1: others is not among the dependencies/);
});

test('a package that the table does not know is refused', async () => {
  await using made = await tree({ 'packages/misc/package.json': '{"name":"@holdfast/misc"}' });
  assert.match((await checkLayers(made)).join(), /needs an ADR/);
});

test('tests may use the testing package and the tools of development, code may not', async () => {
  const source = `import fc from 'fast-check';\nimport { tinyGuest } from '@holdfast/testing';`;
  await using made = await tree({
    'package.json': '{"devDependencies":{"fast-check":"0"}}',
    'packages/base/package.json': '{"name":"@holdfast/base"}',
    'packages/base/a.ts': source,
    'packages/base/a.test.ts': source,
  });
  const problems = await checkLayers(made);
  assert.deepEqual(
    problems.map((problem) => problem.split(' ')[0]),
    ['packages/base/a.ts:1:', 'packages/base/a.ts:2:'],
  );
});

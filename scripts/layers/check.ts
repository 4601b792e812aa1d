/** Holds every package against the arrow table and against its own package.json. */
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { arrows, processUses, wiredByApps } from './arrows.ts';
import { importSites, withoutComments } from './imports.ts';

/** `file:line: what is wrong and what to do`, in the order of files; empty when all is well. */
export async function checkLayers({ root }: { readonly root: string }): Promise<readonly string[]> {
  const manifests = globSync(['packages/*/package.json', 'apps/*/package.json', '{bench,e2e}/package.json'], {
    cwd: root,
  });
  const development = Object.keys((await readManifest(join(root, 'package.json'))).devDependencies);
  const problems: string[] = [];
  for (const manifest of manifests.toSorted()) problems.push(...(await checkPackage({ root, manifest, development })));
  return problems;
}

type PackageRequest = { readonly root: string; readonly manifest: string; readonly development: readonly string[] };

async function checkPackage({ root, manifest, development }: PackageRequest): Promise<readonly string[]> {
  const folder = dirname(manifest);
  const { name, dependencies, devDependencies } = await readManifest(join(root, manifest));
  const declared = Object.keys(dependencies);
  const allowed = arrows[name.replace('@holdfast/', '')];
  if (allowed === undefined)
    return [`${manifest}: ${name} is not in scripts/layers/arrows.ts; a new package needs an ADR`];

  const upward = declared.filter((other) => isOurs(other) && !allowed.includes(other.replace('@holdfast/', '')));
  const problems = upward.map((other) => `${manifest}: ${name} may not depend on ${other} (scripts/layers/arrows.ts)`);
  const forTests = [...Object.keys(devDependencies), ...development, '@holdfast/testing'];
  const files = globSync('**/*.ts', { cwd: join(root, folder), exclude: (entry) => entry === 'node_modules' });
  for (const file of files.toSorted()) {
    const source = await readFile(join(root, folder, file), 'utf8');
    const isTest = file.endsWith('.test.ts');
    problems.push(
      ...checkFile({
        path: join(folder, file),
        folder,
        source,
        declared: isTest ? [...declared, ...forTests, name] : [...declared, name],
        isProgram: !folder.startsWith(`packages${sep}`) || isTest,
      }),
    );
  }
  return problems;
}

export type FileRequest = {
  /** Relative to the root, like `folder`, which is its package's. */
  readonly path: string;
  readonly folder: string;
  readonly source: string;
  readonly declared: readonly string[];
  /** May read its process and choose drivers: apps, bench, e2e and tests. */
  readonly isProgram: boolean;
};

export function checkFile({ path, folder, source, declared, isProgram }: FileRequest): readonly string[] {
  const problems: string[] = [];
  for (const { specifier, line } of importSites(source)) {
    const problem = importProblem({ specifier, path, folder, declared, isProgram });
    if (problem !== undefined) problems.push(`${path}:${line}: ${problem}`);
  }
  if (isProgram) return problems;
  for (const [index, text] of withoutComments(source).split('\n').entries()) {
    const use = processUses.map((pattern) => pattern.exec(text)?.[0]).find((found) => found !== undefined);
    if (use !== undefined) problems.push(`${path}:${index + 1}: ${use} belongs into apps; take it as an argument`);
  }
  return problems;
}

type ImportRequest = Omit<FileRequest, 'source'> & { readonly specifier: string };

function importProblem({ specifier, path, folder, declared, isProgram }: ImportRequest): string | undefined {
  if (specifier.startsWith('node:')) return undefined;
  if (specifier.startsWith('.')) {
    const leaves = relative(folder, join(dirname(path), specifier)).startsWith('..');
    return leaves ? `${specifier} leaves the package; import the other package by its name` : undefined;
  }
  const wanted = packageName(specifier);
  if (!declared.includes(wanted)) return `${wanted} is not among the dependencies in ${folder}/package.json`;
  const driver =
    !isProgram && !wantedByItself(specifier, folder) && wiredByApps.some((pattern) => pattern.test(specifier));
  return driver ? `${specifier} is chosen where the program is wired; take the port as an argument` : undefined;
}

function wantedByItself(specifier: string, folder: string): boolean {
  return packageName(specifier) === `@holdfast/${folder.split(sep).at(-1)}`;
}

function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

function isOurs(name: string): boolean {
  return name.startsWith('@holdfast/');
}

type Manifest = { name: string; dependencies: Record<string, string>; devDependencies: Record<string, string> };

async function readManifest(path: string): Promise<Manifest> {
  const manifest: Partial<Manifest> = JSON.parse(await readFile(path, 'utf8'));
  return { name: '', dependencies: {}, devDependencies: {}, ...manifest };
}

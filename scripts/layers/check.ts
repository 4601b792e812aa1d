/** Holds every package against the arrow table and against its own package.json. */
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { arrows, driverFolder, mayReachInside, processUses, testSupport } from './arrows.ts';
import { type ImportSite, importSites, withoutComments } from './imports.ts';

/** `file:line: what is wrong and what to do`, in the order of files; empty when all is well. */
export async function checkLayers({ root }: { readonly root: string }): Promise<readonly string[]> {
  const manifests = globSync(['packages/*/package.json', 'apps/*/package.json', '{bench,e2e}/package.json'], {
    cwd: root,
  });
  const development = Object.keys((await readManifest(join(root, 'package.json'))).devDependencies);
  const drivers = await driverNames(join(root, 'packages/storage/index.ts'));
  const problems: string[] = [];
  for (const manifest of manifests.toSorted())
    problems.push(...(await checkPackage({ root, manifest, development, drivers })));
  return problems;
}

/** What storage's public face lists from its drivers. */
async function driverNames(index: string): Promise<readonly string[]> {
  const sites = importSites(await readFile(index, 'utf8').catch(() => ''));
  return sites.filter(({ specifier }) => specifier.startsWith(driverFolder)).flatMap(({ names }) => names);
}

type PackageRequest = {
  readonly root: string;
  readonly manifest: string;
  readonly development: readonly string[];
  readonly drivers: readonly string[];
};

async function checkPackage({ root, manifest, development, drivers }: PackageRequest): Promise<readonly string[]> {
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
    const isTest = file.endsWith('.test.ts') || testSupport.test(file);
    problems.push(
      ...checkFile({
        path: join(folder, file),
        folder,
        source,
        declared: isTest ? [...declared, ...forTests, name] : [...declared, name],
        drivers,
        kind: isTest ? 'test' : isProgram(folder) ? 'program' : 'library',
      }),
    );
  }
  return problems;
}

function isProgram(folder: string): boolean {
  return !folder.startsWith(`packages${sep}`) || folder === join('packages', 'testing');
}

export type FileRequest = {
  /** Relative to the root, like `folder`, which is its package's. */
  readonly path: string;
  readonly folder: string;
  readonly source: string;
  readonly declared: readonly string[];
  /** Names that only programs and tests may import. */
  readonly drivers: readonly string[];
  /** A library may neither read its process nor choose drivers. */
  readonly kind: 'library' | 'program' | 'test';
};

export function checkFile(file: FileRequest): readonly string[] {
  const { path, source, kind } = file;
  const problems: string[] = [];
  for (const site of importSites(source)) {
    const problem = importProblem(file, site);
    if (problem !== undefined) problems.push(`${path}:${site.line}: ${problem}`);
  }
  if (kind !== 'library') return problems;
  for (const [index, text] of withoutComments(source).split('\n').entries()) {
    const use = processUses.map((pattern) => pattern.exec(text)?.[0]).find((found) => found !== undefined);
    if (use !== undefined) problems.push(`${path}:${index + 1}: ${use} belongs into apps; take it as an argument`);
  }
  return problems;
}

function importProblem(file: FileRequest, { specifier, names }: ImportSite): string | undefined {
  if (specifier.startsWith('node:')) return undefined;
  if (specifier.startsWith('.')) return relativeProblem(file, specifier);
  const wanted = packageName(specifier);
  if (!file.declared.includes(wanted)) return `${wanted} is not among the dependencies in ${file.folder}/package.json`;
  const driver = wanted === '@holdfast/storage' ? names.find((name) => file.drivers.includes(name)) : undefined;
  if (driver === undefined || file.kind !== 'library') return undefined;
  return `${driver} is chosen where the program is wired; take the port as an argument`;
}

function relativeProblem({ path, folder, declared, kind }: FileRequest, specifier: string): string | undefined {
  const target = join(dirname(path), specifier);
  if (kind !== 'test' && testSupport.test(target)) return `${specifier} is for tests only`;
  if (!relative(folder, target).startsWith('..')) return undefined;
  const [top, name] = target.split(sep);
  if (mayReachInside.includes(folder) && top === 'packages' && declared.includes(`@holdfast/${name}`)) return undefined;
  return `${specifier} leaves the package; import the other package by its name`;
}

function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

function isOurs(name: string): boolean {
  return name.startsWith('@holdfast/');
}

type Manifest = { name: string; dependencies: Record<string, string>; devDependencies: Record<string, string> };
type WrittenManifest = Partial<Manifest> & { optionalDependencies?: Record<string, string> };

async function readManifest(path: string): Promise<Manifest> {
  const {
    name = '',
    dependencies,
    optionalDependencies,
    devDependencies = {},
  }: WrittenManifest = JSON.parse(await readFile(path, 'utf8'));
  return { name, dependencies: { ...dependencies, ...optionalDependencies }, devDependencies };
}

/** Fetches the recipe's packages with apt and unpacks them; installs nothing. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../process/run.ts';
import type { Recipe } from './recipe.ts';

export type UnpackedPackage = { readonly name: string; readonly version: string; readonly dir: string };

/** In the recipe's order, each in its own folder under `workDir`. */
export async function unpackPackages(options: {
  readonly recipe: Recipe;
  readonly workDir: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly UnpackedPackage[]> {
  const { recipe, workDir, signal } = options;
  const debs = join(workDir, 'debs');
  await mkdir(debs, { recursive: true });
  const kernels = await Promise.all(recipe.metapackages.map((name) => dependencyOf({ name, signal })));
  const names = [...recipe.packages, ...kernels];
  await download({ names, debs, signal });
  const files = await readdir(debs);
  const unpacked: UnpackedPackage[] = [];
  for (const name of names) {
    const file = files.find((candidate) => candidate.startsWith(`${name}_`));
    if (file === undefined) throw new Error(`apt-get download gave no file for ${name}`);
    const dir = join(workDir, 'unpacked', name);
    await mkdir(dir, { recursive: true });
    await run({ command: ['dpkg-deb', '--extract', join(debs, file), dir], signal });
    const version = (await run({ command: ['dpkg-deb', '--field', join(debs, file), 'Version'], signal })).trim();
    unpacked.push({ name, version, dir });
  }
  return unpacked;
}

async function download(options: {
  readonly names: readonly string[];
  readonly debs: string;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { names, debs, signal } = options;
  const fetch = (): Promise<string> =>
    run({ command: ['apt-get', '--quiet', 'download', ...names], cwd: debs, signal });
  try {
    await fetch();
  } catch {
    // Package lists that are old, or absent on a fresh machine.
    await run({ command: ['apt-get', '--quiet', 'update'], signal });
    await fetch();
  }
}

async function dependencyOf(options: {
  readonly name: string;
  readonly signal: AbortSignal | undefined;
}): Promise<string> {
  const text = await run({ command: ['apt-cache', 'depends', options.name], signal: options.signal });
  const dependency = /Depends: (linux-image-[^\s<>]+)/.exec(text)?.[1];
  if (dependency === undefined) throw new Error(`${options.name} depends on no package`);
  return dependency;
}

/**
 * The bench image with all its versions, built once and kept: `image-<hash of the recipe>` in the cache folder. A build
 * happens in a folder of its own that is renamed when everything was checked, so an interrupted one leaves no image.
 * Needs about 14 GiB, 17 GiB while it builds.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Extent, formatBytes } from '@holdfast/base';
import { run } from '../process/run.ts';
import { assembleRaw, copyRange } from './assemble.ts';
import { type ChangePattern, changePatterns, type PlannedWrite, planChanges } from './change-plan.ts';
import { applyToRaw, type ChangeSet, changeSetIn, writeChangeSet } from './change-set.ts';
import { dataExtents, totalBytes } from './extents.ts';
import { fillTrees } from './file-trees.ts';
import { fileShares } from './layout.ts';
import { unpackPackages } from './packages.ts';
import { bitmapExtents, bitmapName, changedQcow2, convertToQcow2 } from './qcow2.ts';
import { imageSizeBytes, type Recipe } from './recipe.ts';

export type BenchImage = {
  readonly sizeBytes: number;
  readonly dataBytes: number;
  /** Data extents of the raw image. */
  readonly data: readonly Extent[];
  readonly raw: string;
  readonly qcow2: string;
  /** All data extents one after the other: what the limit compresses. */
  readonly dataOnly: string;
  readonly changes: Readonly<Record<ChangePattern, ChangedImage>>;
  readonly packages: readonly PackageVersion[];
};

/** `qcow2` holds the change, recorded in its bitmap. */
export type ChangedImage = ChangeSet & { readonly qcow2: string; readonly bitmap: string };

export type PackageVersion = { readonly name: string; readonly version: string };

type ImageRecord = {
  readonly recipe: Recipe;
  readonly data: readonly Extent[];
  readonly packages: readonly PackageVersion[];
  readonly writes: Readonly<Record<ChangePattern, readonly PlannedWrite[]>>;
};

export type BuildOptions = {
  readonly recipe: Recipe;
  readonly cacheDir: string;
  readonly note: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
};

/** The image from the cache, built first when it is not there. */
export async function ensureImage(options: BuildOptions): Promise<BenchImage> {
  const hash = createHash('sha256').update(JSON.stringify(options.recipe)).digest('hex').slice(0, 12);
  const dir = join(options.cacheDir, `image-${hash}`);
  const recorded = await readFile(recordPath(dir), 'utf8').catch(() => undefined);
  if (recorded !== undefined) return imageIn(dir, JSON.parse(recorded) as ImageRecord);
  const building = `${dir}.building`;
  await rm(building, { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  const record = await build({ ...options, dir: building });
  await rename(building, dir);
  return imageIn(dir, record);
}

async function build(options: BuildOptions & { readonly dir: string }): Promise<ImageRecord> {
  const { recipe, dir, note, signal } = options;
  const workDir = join(dir, 'work');
  note('image: fetching and unpacking packages');
  const unpacked = await unpackPackages({ recipe, workDir, signal });
  const packages = unpacked.map(({ name, version }) => ({ name, version }));
  const shares = fileShares(recipe);
  const treesDir = join(workDir, 'trees');
  const trees = await fillTrees({ packages: unpacked, treesDir, shares, blockBytes: recipe.blockBytes, signal });
  note('image: laying out the raw image');
  const raw = rawPath(dir);
  await assembleRaw({ recipe, trees, workDir, path: raw, signal });
  const data = await dataExtents({ path: raw, format: 'raw', signal });
  note(`image: ${formatBytes(totalBytes(data))} of data in ${data.length} extents`);
  await concatenateData({ raw, data, path: dataOnlyPath(dir), signal });
  await convertToQcow2({ raw, path: qcow2Path(dir), signal });
  const writes = {
    scattered: planChanges({ recipe, pattern: 'scattered', data }),
    runs: planChanges({ recipe, pattern: 'runs', data }),
  };
  const record: ImageRecord = { recipe, data, packages, writes };
  const image = imageIn(dir, record);
  for (const pattern of changePatterns) {
    note(`image: 1 % changed, ${pattern}`);
    const changed = image.changes[pattern];
    await writeChangeSet({ set: changed, seed: recipe.seed });
    const { granuleBytes } = recipe.changes;
    await changedQcow2({ base: image.qcow2, path: changed.qcow2, set: changed, granuleBytes, workDir, signal });
    await checkChanged({ image, changed, workDir, signal });
  }
  await rm(workDir, { recursive: true });
  await writeFile(recordPath(dir), JSON.stringify(record));
  return record;
}

/** The bitmap records exactly the plan, and the qcow2 image reads like the raw one with the same change. */
async function checkChanged(options: {
  readonly image: BenchImage;
  readonly changed: ChangedImage;
  readonly workDir: string;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { image, changed, workDir, signal } = options;
  const recorded = await bitmapExtents({ path: changed.qcow2, bitmap: changed.bitmap, workDir, signal });
  if (JSON.stringify(recorded) !== JSON.stringify(changed.extents)) {
    throw new Error(`The bitmap of ${changed.qcow2} does not record the ${changed.pattern} change.`);
  }
  const copy = join(workDir, 'changed.raw');
  await run({ command: ['cp', '--sparse=always', image.raw, copy], signal });
  await applyToRaw({ set: changed, path: copy, signal });
  await run({ command: ['qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', copy, changed.qcow2], signal });
  await rm(copy);
}

async function concatenateData(options: {
  readonly raw: string;
  readonly data: readonly Extent[];
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { raw, data, path, signal } = options;
  await using source = await open(raw, 'r');
  await using target = await open(path, 'w');
  let to = 0;
  for (const { offset, length } of data) {
    await copyRange({ source, target, from: offset, to, length, signal });
    to += length;
  }
}

function imageIn(dir: string, record: ImageRecord): BenchImage {
  const changed = (pattern: ChangePattern): ChangedImage => ({
    ...changeSetIn({ dir, pattern, writes: record.writes[pattern] }),
    qcow2: join(dir, `${pattern}.qcow2`),
    bitmap: bitmapName,
  });
  return {
    sizeBytes: imageSizeBytes(record.recipe),
    dataBytes: totalBytes(record.data),
    data: record.data,
    raw: rawPath(dir),
    qcow2: qcow2Path(dir),
    dataOnly: dataOnlyPath(dir),
    changes: { scattered: changed('scattered'), runs: changed('runs') },
    packages: record.packages,
  };
}

const rawPath = (dir: string): string => join(dir, 'disk.raw');
const qcow2Path = (dir: string): string => join(dir, 'disk.qcow2');
const dataOnlyPath = (dir: string): string => join(dir, 'data-only');
const recordPath = (dir: string): string => join(dir, 'record.json');

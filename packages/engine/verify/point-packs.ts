/** Which packs a point needs, from its manifest and pack table alone: no map is read, no domain key needed. */
import { type PackUse, decodeTablePage } from '../map/pack-table.ts';
import type { Manifest } from '../manifest/manifest.ts';
import { readFrame } from '../pack/frame-reader.ts';
import type { PackKind } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

/** Slots of one pack that a point uses. */
export type NeededSlots = { readonly packId: string; readonly kind: PackKind; readonly slots: readonly number[] };

/** Packs may be named more than once. @throws chunk_corrupt, repository_damaged when the table cannot be read */
export async function* slotsOfPoint(
  repository: Repository,
  manifest: Manifest,
  signal?: AbortSignal,
): AsyncGenerator<NeededSlots> {
  for await (const { packId, use } of tableOfPoint(repository, manifest, signal)) {
    yield { packId, kind: use.kind, slots: use.uses.flatMap((uses, slot) => (uses > 0 ? [slot] : [])) };
  }
  const guest = manifest.guest_configuration ? [manifest.guest_configuration] : [];
  const pages = manifest.table.pages.filter((page) => page.kind === 'data');
  for (const { location } of [...manifest.roots, ...guest, ...pages]) {
    yield { packId: location.packId, kind: 'meta', slots: [location.slot] };
  }
}

/** The pack table, page by page. */
export async function* tableOfPoint(
  repository: Repository,
  manifest: Manifest,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly packId: string; readonly use: PackUse }> {
  for (const reference of manifest.table.pages) {
    if (reference.kind !== 'data') continue;
    const content = await readFrame(repository, { kind: 'tablePage', reference, signal });
    for (const [packId, use] of decodeTablePage(content)) yield { packId, use };
  }
}

/** `holdfast points`: what can be restored. */
import { formatBytes, HoldfastError } from '@holdfast/base';
import { checkResource, type ListedPoint, listPoints, type Manifest } from '@holdfast/engine';
import { flaggedPoints, type PointVerdict } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { layOutColumns } from '../terminal/columns.ts';
import { formatLocalTime, printable } from '../terminal/format.ts';
import { shortPointIds } from '../terminal/short-ids.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'points',
    summary: 'List restore points',
    arguments: {},
    options: {
      ...repositoryOptions,
      resource: { value: 'NAME', summary: 'Only those of this volume or instance' },
      trashed: { summary: 'Those in the trash instead, and since when they are there' },
    },
  },
  async ({ options, context }) => {
    const { output, signal } = context;
    const resource = options.resource === undefined ? undefined : checkResource(options.resource);
    await using opened = await openSelectedRepository(options, context);
    const { points, damaged } = await listPoints({
      repository: opened.repository,
      resource,
      states: [options.trashed ? 'trashed' : 'available'],
      signal,
    });
    const flagged = options.trashed
      ? new Map<string, PointVerdict>()
      : await flaggedPoints({ repository: opened.repository, resource, signal });
    for (const { pointId, resource: of, problems } of flagged.values()) {
      output.warn(`Point ${pointId} of ${of} cannot be restored whole: ${problems.join(' ')}`);
    }
    for (const { pointId, resource: of, error } of damaged) output.warn(`Point ${pointId} of ${of}: ${error.message}`);
    output.result(
      {
        points: points.map((point) => ({
          ...pointFields(point),
          problems: flagged.get(point.manifest.id)?.problems ?? [],
        })),
        damaged: damaged.map(({ pointId, resource: of, error }) => ({
          point: pointId,
          resource: of,
          code: error.code,
          detail: error.message,
        })),
      },
      points.length === 0
        ? `No restore points${options.trashed ? ' in the trash' : ''}.`
        : pointLines(points, options.trashed).join('\n'),
    );
    if (damaged.length === 0) return;
    throw new HoldfastError('repository_damaged', `${damaged.length} manifests cannot be read.`, {
      facts: { points: damaged.map(({ pointId }) => pointId) },
    });
  },
);

function pointFields({ manifest, state, trashedAt }: ListedPoint): object {
  return {
    point: manifest.id,
    state,
    trashed_at: trashedAt ?? null,
    resource: manifest.resource,
    created_at: manifest.created_at,
    zone: manifest.zone,
    host: manifest.host,
    origin: manifest.origin,
    kind: manifest.actual,
    series: manifest.series,
    increment_id: manifest.increment_id,
    parent: manifest.parent,
    consistency: manifest.consistency,
    label: manifest.label,
    copied_from: manifest.copied_from ?? null,
    size_bytes: sizeOf(manifest),
    put_bytes: manifest.put_bytes,
    disks: manifest.disks.map(({ name, size_bytes, chunk_bytes, actual }) => ({
      name,
      size_bytes,
      chunk_bytes,
      actual,
    })),
  };
}

function pointLines(points: readonly ListedPoint[], isTrash: boolean): readonly string[] {
  const short = shortPointIds(points.map(({ manifest }) => manifest.id));
  return layOutColumns(
    [
      { title: 'POINT' },
      { title: 'RESOURCE' },
      { title: 'TAKEN' },
      ...(isTrash ? [{ title: 'DELETED' }] : []),
      { title: 'KIND' },
      { title: 'SERIES' },
      { title: 'DISKS' },
      { title: 'SIZE', align: 'right' },
      { title: 'STORED', align: 'right' },
      { title: 'LABEL' },
    ],
    points.map(({ manifest, trashedAt }) => [
      short.get(manifest.id) ?? manifest.id,
      manifest.resource,
      formatLocalTime(manifest.created_at),
      ...(isTrash ? [trashedAt === undefined ? '-' : formatLocalTime(trashedAt)] : []),
      manifest.origin === 'import' ? 'import' : manifest.actual,
      manifest.series === null ? '-' : `${manifest.series.slice(-6)}/${manifest.increment_id}`,
      manifest.disks.map(({ name }) => name).join(','),
      formatBytes(sizeOf(manifest)),
      formatBytes(manifest.put_bytes),
      printable(manifest.label ?? ''),
    ]),
  );
}

function sizeOf(manifest: Manifest): number {
  return manifest.disks.reduce((sum, { size_bytes: sizeBytes }) => sum + sizeBytes, 0);
}

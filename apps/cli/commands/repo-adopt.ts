/** `holdfast repo adopt`: take a storage into use of which only itself is left. */
import { HoldfastError } from '@holdfast/base';
import { adoptRepository } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount, formatLocalTime } from '../terminal/format.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'repo adopt',
    summary: 'Take a storage into use of which only itself is left',
    details:
      'Lists the points that lie there and builds the index anew. For a copy of a repository, and for the day after the\n' +
      'machine was lost; nothing but the storage (and the passphrase) is needed.',
    arguments: {},
    options: repositoryOptions,
  },
  async ({ options, context }) => {
    const { output, signal } = context;
    await using opened = await openSelectedRepository(options, context);
    const { points, damaged, indexEntries, unreadablePacks, unreadableTables } = await adoptRepository({
      repository: opened.repository,
      signal,
    });
    for (const { pointId, resource, error } of damaged)
      output.warn(`Point ${pointId} of ${resource}: ${error.message}`);
    for (const packId of unreadablePacks) output.warn(`Pack ${packId} cannot be read.`);
    for (const pointId of unreadableTables) output.warn(`The pack table of point ${pointId} cannot be read.`);
    output.result(
      {
        points: points.map(({ manifest: { id, resource, created_at: createdAt } }) => ({
          point: id,
          resource,
          created_at: createdAt,
        })),
        damaged: damaged.map(({ pointId, resource, error }) => ({ point: pointId, resource, detail: error.message })),
        index_entries: indexEntries,
        unreadable_packs: unreadablePacks,
        unreadable_tables: unreadableTables,
      },
      [
        ...points.map(
          ({ manifest: { id, resource, created_at: createdAt } }) =>
            `${id}  ${formatLocalTime(createdAt)}  ${resource}`,
        ),
        `Adopted ${formatCount(points.length, 'point')}; ${indexEntries} chunks in the index`,
      ].join('\n'),
    );
    if (damaged.length + unreadablePacks.length + unreadableTables.length === 0) return;
    throw new HoldfastError(
      'repository_damaged',
      `${damaged.length} manifests, ${unreadableTables.length} pack tables and ${unreadablePacks.length} packs cannot be read.`,
    );
  },
);

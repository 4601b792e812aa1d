/** `holdfast undelete`: points back out of the trash. */
import { checkResource } from '@holdfast/engine';
import { choosePoints, undeletePoints } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount } from '../terminal/format.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'undelete',
    summary: 'Bring restore points back out of the trash',
    details: 'holdfast points --trashed lists what is there.',
    arguments: {
      points: { repeatable: true, summary: 'Ids, beginnings of ids, or latest together with --resource' },
    },
    options: {
      ...repositoryOptions,
      resource: { value: 'NAME', summary: 'Without a point: all of this volume or instance that is in the trash' },
    },
  },
  async ({ args, options, context }) => {
    const { output, signal } = context;
    const resource = options.resource === undefined ? undefined : checkResource(options.resource);
    await using opened = await openSelectedRepository(options, context);
    const { repository } = opened;
    const points = await choosePoints({ repository, words: args.points, resource, state: 'trashed', signal });
    await undeletePoints({ repository, points, signal });
    output.result(
      { points: points.map(({ pointId, resource: of }) => ({ point: pointId, resource: of })) },
      [
        ...points.map(({ pointId, resource: of }) => `${pointId} of ${of}`),
        `${formatCount(points.length, 'point')} brought back.`,
      ].join('\n'),
    );
  },
);

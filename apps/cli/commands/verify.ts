/** `holdfast verify`: can everything be restored? */
import { formatBytes } from '@holdfast/base';
import { assertClean, checkResource, verifyRepository } from '@holdfast/engine';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount, formatDuration } from '../terminal/format.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'verify',
    summary: 'Prove that the points can be restored',
    details:
      'Reads every pack and proves every chunk by its id. With --presence it only looks whether everything is there,\n' +
      'which takes a moment and finds no rotten byte.',
    arguments: {},
    options: {
      ...repositoryOptions,
      presence: { summary: 'Only look whether everything is there' },
      resource: { value: 'NAME', summary: 'Only the points of this volume or instance' },
    },
  },
  async ({ options, context }) => {
    const { output, clock, signal } = context;
    const resource = options.resource === undefined ? undefined : checkResource(options.resource);
    await using opened = await openSelectedRepository(options, context);
    const startedMs = clock.monotonicMs();
    using progress = output.progress('verify');
    const report = await verifyRepository({
      repository: opened.repository,
      scope: options.presence ? 'presence' : 'scrub',
      resource,
      signal,
      onProgress: (step) => progress.update(step),
    });
    progress[Symbol.dispose]();
    const durationMs = clock.monotonicMs() - startedMs;
    const { packs, points, checkedBytes } = report;
    const lines = points
      .filter(({ ok }) => !ok)
      .flatMap(({ pointId, resource: of, problems }) => problems.map((problem) => `${pointId} of ${of}: ${problem}`));
    const good = points.filter(({ ok }) => ok).length;
    const read = options.presence ? '' : `, ${formatBytes(checkedBytes)} read`;
    output.result(
      {
        scope: report.scope,
        points: points.map(({ pointId, resource: of, ok, problems }) => ({
          point: pointId,
          resource: of,
          ok,
          problems,
        })),
        packs,
        checked_bytes: checkedBytes,
        duration_ms: Math.round(durationMs),
      },
      [
        ...lines,
        `${good} of ${formatCount(points.length, 'point')} ${options.presence ? 'complete' : 'proved right'}; ` +
          `${formatCount(packs.checked, 'pack')} checked${read} in ${formatDuration(durationMs)}`,
      ].join('\n'),
    );
    assertClean(report);
  },
);

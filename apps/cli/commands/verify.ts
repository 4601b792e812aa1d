/** `holdfast verify`: can everything be restored? */
import { formatBytes, HoldfastError } from '@holdfast/base';
import { checkResource } from '@holdfast/engine';
import { assertClean, verifyRepository } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount, formatDuration } from '../terminal/format.ts';
import { parseDuration } from '../wiring/parse-values.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'verify',
    summary: 'Prove that the points can be restored',
    details:
      'Reads every pack and proves every chunk by its id, least recently read packs first. With --presence it only looks\n' +
      'whether everything is there, which takes a moment and finds no rotten byte. What is lost goes into quarantine:\n' +
      'no backup builds on it any more.',
    arguments: {},
    options: {
      ...repositoryOptions,
      presence: { summary: 'Only look whether everything is there' },
      resource: { value: 'NAME', summary: 'Only the points of this volume or instance' },
      maxAge: { value: 'DURATION', summary: 'Only packs that were not found good within this time, such as 30d' },
      maxDuration: { value: 'DURATION', summary: 'Stop after this time, such as 2h; the next run goes on' },
    },
  },
  async ({ options, context }) => {
    const { output, clock, signal } = context;
    const resource = options.resource === undefined ? undefined : checkResource(options.resource);
    const maxAgeMs = options.maxAge === undefined ? undefined : parseDuration('--max-age', options.maxAge);
    const maxDurationMs =
      options.maxDuration === undefined ? undefined : parseDuration('--max-duration', options.maxDuration);
    if (options.presence && (maxAgeMs ?? maxDurationMs) !== undefined) {
      throw new HoldfastError('usage', '--presence reads no packs, so --max-age and --max-duration mean nothing.');
    }
    await using opened = await openSelectedRepository(options, context);
    const startedMs = clock.monotonicMs();
    using progress = output.progress('verify');
    const report = await verifyRepository({
      repository: opened.repository,
      scope: options.presence ? 'presence' : 'scrub',
      resource,
      maxAgeMs,
      maxDurationMs,
      signal,
      onProgress: (step) => progress.update(step),
    });
    progress[Symbol.dispose]();
    const durationMs = clock.monotonicMs() - startedMs;
    const { packs, points, checkedBytes } = report;
    const lines = points
      .filter(({ ok }) => !ok)
      .flatMap(({ pointId, resource: of, problems }) => problems.map((problem) => `${pointId} of ${of}: ${problem}`));
    const good = points.filter(({ ok, checked }) => ok && checked).length;
    const unchecked = points.filter(({ checked }) => !checked).length;
    if (!report.recorded) output.warn('The storage takes no records: the next run begins from the start.');
    const rest = [
      ...(packs.young > 0 ? [`${formatCount(packs.young, 'pack')} read lately`] : []),
      ...(packs.left > 0 ? [`${formatCount(packs.left, 'pack')} left for the next run`] : []),
      ...(unchecked > 0 ? [`${formatCount(unchecked, 'point')} not looked through`] : []),
    ];
    const read = options.presence ? '' : `, ${formatBytes(checkedBytes)} read`;
    output.result(
      {
        scope: report.scope,
        points: points.map(({ pointId, resource: of, ok, checked, problems }) => ({
          point: pointId,
          resource: of,
          ok,
          checked,
          problems,
        })),
        packs,
        recorded: report.recorded,
        checked_bytes: checkedBytes,
        duration_ms: Math.round(durationMs),
      },
      [
        ...lines,
        `${good} of ${formatCount(points.length, 'point')} ${options.presence ? 'complete' : 'proved right'}; ` +
          `${formatCount(packs.checked, 'pack')} checked${read} in ${formatDuration(durationMs)}${rest.map((part) => `; ${part}`).join('')}`,
      ].join('\n'),
    );
    assertClean(report);
  },
);

/** `holdfast verify`: can everything be restored? */
import { formatBytes, HoldfastError } from '@holdfast/base';
import { checkResource } from '@holdfast/engine';
import { assertClean, heal, type VerifyOptions, verifyRepository } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount, formatDuration } from '../terminal/format.ts';
import { cacheDirectory } from '../wiring/cache-directory.ts';
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
      heal: { summary: 'Bring lost chunks back from where later backups have stored them' },
      maxAge: { value: 'DURATION', summary: 'Only packs that were not found good within this time, such as 30d' },
      maxDuration: { value: 'DURATION', summary: 'Stop after this time, such as 2h; the next run goes on' },
      cache: { value: 'DIR', completes: 'directory', summary: 'Where to keep what was read (default: XDG cache)' },
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
    const request: VerifyOptions = {
      repository: opened.repository,
      scope: options.presence ? 'presence' : 'scrub',
      cacheDirectory: cacheDirectory(context, options.cache),
      resource,
      maxAgeMs,
      maxDurationMs,
      signal,
      onProgress: (step) => progress.update(step),
    };
    const found = await verifyRepository(request);
    const healed = options.heal ? await heal({ repository: opened.repository, signal }) : undefined;
    // What was read just now need not be read again: only what heals and what is bad.
    const agoMs = clock.monotonicMs() - startedMs;
    const report = healed?.healedChunks
      ? await verifyRepository({ ...request, maxAgeMs: Math.max(maxAgeMs ?? 0, Math.ceil(agoMs)) })
      : found;
    const checkedPacks = found.packs.checked;
    const checkedBytes = report === found ? found.checkedBytes : found.checkedBytes + report.checkedBytes;
    progress[Symbol.dispose]();
    const durationMs = clock.monotonicMs() - startedMs;
    const { packs, points } = report;
    const lines = points
      .filter(({ ok }) => !ok)
      .flatMap(({ pointId, resource: of, problems }) => problems.map((problem) => `${pointId} of ${of}: ${problem}`));
    const good = points.filter(({ ok, checked }) => ok && checked).length;
    const unchecked = points.filter(({ checked }) => !checked).length;
    if (!report.recorded) output.warn('The storage takes no records: the next run begins from the start.');
    const rest = [
      ...(healed ? [`${formatCount(healed.healedChunks, 'chunk')} healed`] : []),
      ...(found.packs.young > 0 ? [`${formatCount(found.packs.young, 'pack')} read lately`] : []),
      ...(found.packs.left > 0 ? [`${formatCount(found.packs.left, 'pack')} left for the next run`] : []),
      ...(packs.contained > 0 ? [`${formatCount(packs.contained, 'pack')} with damage that no point needs`] : []),
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
        packs: { ...packs, checked: checkedPacks, left: found.packs.left, young: found.packs.young },
        ...(healed && { healed_chunks: healed.healedChunks, lost_chunks: healed.lostChunks - healed.healedChunks }),
        recorded: report.recorded,
        checked_bytes: checkedBytes,
        duration_ms: Math.round(durationMs),
      },
      [
        ...lines,
        `${good} of ${formatCount(points.length, 'point')} ${options.presence ? 'complete' : 'proved right'}; ` +
          `${formatCount(checkedPacks, 'pack')} checked${read} in ${formatDuration(durationMs)}${rest.map((part) => `; ${part}`).join('')}`,
      ].join('\n'),
    );
    assertClean(report);
  },
);

/** `holdfast repo check`: is there a repository, can it be opened, what is in it. */
import { formatBytes, HoldfastError } from '@holdfast/base';
import { checkRepository, type RepositoryCheck } from '@holdfast/engine';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount } from '../terminal/format.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'repo check',
    summary: 'Say what is in a repository, and whether it can be opened',
    arguments: {},
    options: repositoryOptions,
  },
  async ({ options, context }) => {
    const { output, signal } = context;
    await using opened = await openSelectedRepository(options, context);
    const check = await checkRepository({ repository: opened.repository, signal });
    const { configuration, damagedManifests, missingPacks, sessions } = check;
    output.result(
      {
        repository: configuration.repository,
        format: configuration.format,
        created_at: configuration.created_at,
        encrypted: check.encrypted,
        hash: configuration.hash,
        chunk_bytes: configuration.defaults.chunk_bytes,
        points: check.points,
        resources: check.resources,
        damaged_manifests: damagedManifests,
        missing_packs: missingPacks,
        data_packs: check.dataPacks,
        meta_packs: check.metaPacks,
        index_runs: check.indexRuns,
        unreferenced_packs: check.unreferencedPacks,
        sessions: sessions.map(({ id, role, resource, started_at: startedAt, process: { host, pid }, liveness }) => ({
          session: id,
          role,
          resource,
          started_at: startedAt,
          host,
          pid,
          liveness,
        })),
      },
      checkLines(check).join('\n'),
    );
    if (damagedManifests.length === 0 && missingPacks.length === 0) return;
    throw new HoldfastError(
      'repository_damaged',
      `${damagedManifests.length} manifests cannot be read, ${missingPacks.length} packs are missing.`,
      { facts: { manifests: damagedManifests, packs: missingPacks } },
    );
  },
);

function checkLines(check: RepositoryCheck): readonly string[] {
  const { configuration, dataPacks, metaPacks, indexRuns, unreferencedPacks, sessions } = check;
  const sum = ({ count, bytes }: RepositoryCheck['dataPacks'], noun: string): string =>
    `${formatCount(count, noun)}, ${formatBytes(bytes)}`;
  return [
    `repository   ${configuration.repository}, format ${configuration.format}, created ${configuration.created_at}`,
    `protection   ${check.encrypted ? 'encrypted' : 'not encrypted'}, ids by ${configuration.hash}`,
    `points       ${check.points} of ${formatCount(check.resources, 'resource')}`,
    `data         ${sum(dataPacks, 'pack')}`,
    `metadata     ${sum(metaPacks, 'pack')}`,
    `index        ${sum(indexRuns, 'object')}`,
    `unreferenced ${sum(unreferencedPacks, 'pack')}`,
    ...sessions.map(
      ({ id, role, resource, process: { host, pid }, liveness }) =>
        `session      ${id}, ${role}${resource === null ? '' : ` of ${resource}`}, process ${pid} on ${host}: ${liveness}`,
    ),
  ];
}

/** `holdfast repo check`: is there a repository, can it be opened, what is in it. */
import { formatBytes, HoldfastError } from '@holdfast/base';
import { checkRepository, type RepositoryCheck, type StorageExplained } from '@holdfast/engine/care';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { formatCount } from '../terminal/format.ts';
import { openSelectedRepository } from '../wiring/repository.ts';
import { holderLine, sessionFields } from '../wiring/session-report.ts';

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
    const { configuration, damagedManifests, missingPacks, explained, sessions } = check;
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
        ...explainedFields(explained),
        sessions: sessions.map(sessionFields),
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
  const { configuration, dataPacks, metaPacks, indexRuns, explained, sessions } = check;
  const sum = ({ count, bytes }: RepositoryCheck['dataPacks'], noun: string): string =>
    `${formatCount(count, noun)}, ${formatBytes(bytes)}`;
  return [
    `repository   ${configuration.repository}, format ${configuration.format}, created ${configuration.created_at}`,
    `protection   ${check.encrypted ? 'encrypted' : 'not encrypted'}, ids by ${configuration.hash}`,
    `points       ${check.points} of ${formatCount(check.resources, 'resource')}`,
    `data         ${sum(dataPacks, 'pack')}`,
    `metadata     ${sum(metaPacks, 'pack')}`,
    `index        ${sum(indexRuns, 'object')}`,
    ...explainedLines(explained),
    ...sessions.map((session) => `session      ${holderLine(session)}`),
  ];
}

/** Null where something that says what is in use cannot be read. */
function explainedFields(explained: StorageExplained | undefined): object {
  return {
    trashed_points: explained?.trashedPoints ?? null,
    dead_points: explained?.deadPoints ?? null,
    packs_in_use: explained?.inUse ?? null,
    packs_in_trash: explained?.inTrash ?? null,
    packs_in_the_making: explained?.inTheMaking ?? null,
    packs_orphaned: explained?.orphaned ?? null,
    condemned:
      explained?.condemned.map(({ epoch, packs, bytes, heldBackBy }) => ({
        epoch,
        packs,
        bytes,
        held_back_by: heldBackBy,
      })) ?? null,
  };
}

function explainedLines(explained: StorageExplained | undefined): readonly string[] {
  if (!explained) return ['in use       cannot be told: holdfast verify --presence says what is unreadable'];
  const { trashedPoints, inUse, inTrash, inTheMaking, condemned, orphaned } = explained;
  const sum = ({ packs, bytes }: StorageExplained['inUse']): string =>
    `${formatCount(packs, 'pack')}, ${formatBytes(bytes)}`;
  return [
    `in use       ${sum(inUse)}`,
    `trash        ${formatCount(trashedPoints, 'point')}; ${sum(inTrash)} for them alone`,
    ...inTheMaking.map((one) => `being made   ${sum(one)} by ${one.session}`),
    ...condemned.map((one) => {
      const waits =
        one.heldBackBy.length > 0 ? `held back by ${one.heldBackBy.join(', ')}` : 'go with the next collect';
      return `condemned    ${sum(one)} in epoch ${one.epoch}: ${waits}`;
    }),
    `orphaned     ${sum(orphaned)}${orphaned.packs > 0 ? ': holdfast collect frees them' : ''}`,
  ];
}

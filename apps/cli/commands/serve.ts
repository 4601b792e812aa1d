/** `holdfast serve`: a point as a disk that QEMU and others can open, without restoring it. */
import { resolve } from 'node:path';
import { type BlockSource, toProblem } from '@holdfast/base';
import { findPoint } from '@holdfast/engine';
import { openPointDisk } from '@holdfast/engine/restore';
import { formatNbdUri } from '@holdfast/hypervisor';
import { serveNbd } from '@holdfast/hypervisor/server';
import { repositoryOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { chooseDisk } from '../wiring/choose-disk.ts';
import { openSelectedRepository } from '../wiring/repository.ts';

export const command = defineCommand(
  {
    name: 'serve',
    summary: 'Offer a point as a read-only NBD disk',
    details:
      'Each disk is an export of its name. It runs until SIGINT or SIGTERM; while it runs nothing it needs is collected.\n' +
      'Whoever may open the socket may read the disks.',
    arguments: { point: { required: true, summary: 'Id, the beginning of one, or latest together with --resource' } },
    options: {
      ...repositoryOptions,
      socket: { value: 'PATH', required: true, completes: 'file', summary: 'Unix socket to listen at' },
      disk: { value: 'DISK', summary: 'Which disk (default: all of the point)' },
      resource: { value: 'NAME', summary: 'The volume or instance that latest is of' },
    },
  },
  async ({ args, options, context }) => {
    const { output, clock, signal } = context;
    await using opened = await openSelectedRepository(options, context);
    const { repository } = opened;
    const point = await findPoint({ repository, point: args.point, resource: options.resource, signal });
    const disks = options.disk === undefined ? point.manifest.disks : [chooseDisk(point, options.disk)];
    await using sources = new AsyncDisposableStack();
    const exports: { name: string; description: string; source: BlockSource }[] = [];
    for (const { name } of disks) {
      const source = sources.use(await openPointDisk({ repository, point, disk: name, signal }));
      exports.push({
        name,
        description: `${name} of ${point.manifest.resource}, ${point.manifest.created_at}`,
        source,
      });
    }
    const startedMs = clock.monotonicMs();
    await using server = await serveNbd({
      exports,
      listen: { socketPath: resolve(options.socket) },
      signal,
      // The client only learns that a read failed; what failed is told here.
      onError: (error) => output.warn(`${toProblem(error).title}: ${toProblem(error).detail}`),
    });
    const offered = disks.map(({ name }) => ({ name, uri: formatNbdUri(server.address, name) }));
    output.event(
      'ready',
      { uri: server.uri, point: point.manifest.id, exports: offered },
      offered.map(({ name, uri }) => `Serving ${name} at ${uri}`).join('\n'),
    );
    await untilAborted(signal);
    // Ending on a signal is how this command succeeds.
    await server[Symbol.asyncDispose]();
    await sources.disposeAsync();
    output.result({ point: point.manifest.id, duration_ms: Math.round(clock.monotonicMs() - startedMs) }, '');
  },
);

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((wake) => {
    signal.addEventListener('abort', wake, { once: true });
  });
}

/**
 * What a scrub is compared with: `node unpack-process.ts REPOSITORY` reads every pack and decompresses every frame, and proves
 * nothing. As many packs and frames at once as a scrub has, decompression on the pool, so on all cores, into memory that is
 * used again. It finds frames by the pack's directory; there is no quicker way through the same bytes in the same runtime.
 * Prints the plain bytes as JSON.
 */
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { BufferSlots, MiB, runLanes } from '@holdfast/base';
import { decompress } from '../../packages/engine/codec/compression.ts';
import { decodeFrame } from '../../packages/engine/codec/frame.ts';
import { directoryOfPack } from '../../packages/engine/pack/pack-directory.ts';

/** As in scrub.ts and scrub-pack.ts. */
const packLanes = Math.min(4, availableParallelism() + 1);
const frameLanes = 2;
const [repository = ''] = process.argv.slice(2);

const packs: string[] = [];
for (const kind of ['data', 'meta']) {
  const directory = join(repository, 'd/default', kind);
  for (const folder of await readdir(directory)) {
    for (const pack of await readdir(join(directory, folder))) packs.push(join(directory, folder, pack));
  }
}
const memory = new BufferSlots({ slots: packLanes * frameLanes, slotBytes: 4 * MiB + 1 });
let plainBytes = 0;
await runLanes({
  jobs: packs,
  lanes: packLanes,
  run: async (path) => {
    const bytes = await readFile(path);
    await runLanes({
      jobs: directoryOfPack(bytes, path),
      lanes: frameLanes,
      run: async ({ offset, storedBytes }) => {
        const { header, payload } = decodeFrame(bytes.subarray(offset, offset + storedBytes));
        plainBytes += await memory.with(async (into) =>
          header.compression === 'raw' ? payload.length : (await decompress(payload, header.plainBytes, into)).length,
        );
      },
    });
  },
});
console.log(JSON.stringify({ packs: packs.length, plainBytes }));

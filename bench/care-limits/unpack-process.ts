/**
 * What a scrub is compared with: `node unpack-process.ts REPOSITORY` reads every pack and decompresses every frame, and proves
 * nothing. As many packs at once as a scrub reads, decompression on the pool, so on all cores. It finds frames by the
 * pack's directory; there is no quicker way through the same bytes in the same runtime. Prints the plain bytes as JSON.
 */
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { runLanes } from '@holdfast/base';
import { decodeFrame } from '../../packages/engine/codec/frame.ts';
import { directoryOfPack } from '../../packages/engine/pack/pack-directory.ts';

const unpack = promisify(zstdDecompress);
const [repository = ''] = process.argv.slice(2);

const packs: string[] = [];
for (const kind of ['data', 'meta']) {
  const directory = join(repository, 'd/default', kind);
  for (const folder of await readdir(directory)) {
    for (const pack of await readdir(join(directory, folder))) packs.push(join(directory, folder, pack));
  }
}
let plainBytes = 0;
await runLanes({
  jobs: packs,
  lanes: Math.min(4, availableParallelism() + 1),
  run: async (path) => {
    const bytes = await readFile(path);
    for (const { offset, storedBytes } of directoryOfPack(bytes, path)) {
      const { header, payload } = decodeFrame(bytes.subarray(offset, offset + storedBytes));
      const plain = header.compression === 'raw' ? payload : await unpack(payload, { chunkSize: header.plainBytes });
      plainBytes += plain.length;
    }
  },
});
console.log(JSON.stringify({ packs: packs.length, plainBytes }));

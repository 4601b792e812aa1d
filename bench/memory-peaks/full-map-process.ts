/**
 * The measured process of the full map: `node full-map-process.ts REPOSITORY SIZE_BYTES`. The engine as the command line
 * uses it, over a disk that is made up while it is read, because a real one of 1 TiB would measure the disk.
 */
import { type Extent, MiB } from '@holdfast/base';
import { backup, initRepository, openRepository } from '@holdfast/engine';
import { LocalStore } from '@holdfast/storage';
import { syntheticDisk } from './synthetic-disk.ts';

const [directory = '', sizeText = ''] = process.argv.slice(2);
const sizeBytes = Number(sizeText);
const resource = 'volumes/bench';

await using store = await LocalStore.open({ directory, create: true });
await initRepository({ store });
const repository = await openRepository({ store });
{
  await using source = syntheticDisk({ sizeBytes, generation: 1 });
  const { point: parent } = await backup({ repository, resource, disks: [{ name: 'vda', source }] });
  await using later = syntheticDisk({ sizeBytes, generation: 1 });
  await backup({ repository, resource, parent, disks: [{ name: 'vda', source: later, changed: everyThousandth() }] });
}

function* everyThousandth(): Generator<Extent> {
  for (let offset = 0; offset < sizeBytes; offset += 1000 * MiB) yield { offset, length: 64 * 1024 };
}

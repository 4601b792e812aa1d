/** `qemu-img convert -c`: a compressed copy, without deduplication or increments. */
import { join } from 'node:path';
import type { Contender, Stage } from '../contender.ts';

export const qemuImg: Contender = {
  id: 'qemu-img',
  title: 'qemu-img -c zstd',
  program: ['qemu-img', '--version'],
  compete,
};

async function compete(stage: Stage): Promise<void> {
  const { disk, dir } = stage;
  const copy = join(dir, 'copy.qcow2');
  const how = ['-f', 'raw', '-c', '-O', 'qcow2', '-o', 'compression_type=zstd'] as const;
  const command = ['qemu-img', 'convert', ...how, disk.path, copy] as const;
  await stage.measure({ work: 'full', command, warm: [disk.path], repository: copy });
  const restored = join(dir, 'restored.raw');
  await stage.measure({
    work: 'restore',
    command: ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', copy, restored],
    warm: [copy],
  });
  await stage.check({ restored, expected: stage.image.raw });
}

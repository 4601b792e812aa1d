/** A disk whose every MiB is unlike all others and compresses to nearly nothing, at the speed of filling memory. */
import { type BlockExtent, type BlockSource, MiB } from '@holdfast/base';

export function syntheticDisk(options: { readonly sizeBytes: number; readonly generation: number }): BlockSource {
  const { sizeBytes, generation } = options;
  return {
    sizeBytes,
    concurrency: 16,
    read: ({ into, offset }) => {
      into.fill(generation);
      const step = Math.min(MiB, into.length);
      for (let at = 0; at + 8 <= into.length; at += step) into.writeDoubleLE(1 + (offset + at) / step, at);
      return Promise.resolve();
    },
    extents: ({ offset, length }) => allData({ offset, length, zero: false }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function* allData(extent: BlockExtent): AsyncGenerator<BlockExtent> {
  yield extent;
}

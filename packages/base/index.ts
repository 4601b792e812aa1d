export { alignedBuffer, alignmentBytes, isAligned } from './aligned-buffer.ts';
export { BufferSlots } from './buffer-slots.ts';
export type { BlockExtent, BlockSource, BlockTarget, Extent } from './block.ts';
export { type Clock, systemClock } from './clock.ts';
export { type ErrorCode, type ErrorEntry, errorCatalogue } from './errors/catalogue.ts';
export {
  type FieldError,
  HoldfastError,
  type HoldfastErrorOptions,
  hasCode,
  type Remedy,
  systemErrorCode,
} from './errors/holdfast-error.ts';
export { type Problem, toProblem } from './errors/problem.ts';
export { type IdPrefix, isId, newId, timeOfId } from './ids.ts';
export { type LanesOptions, runLanes } from './lanes.ts';
export { makeDirectories } from './make-directories.ts';
export { formatBytes, GiB, KiB, MiB, TiB } from './units.ts';

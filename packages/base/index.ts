export { alignedBuffer, alignmentBytes } from './aligned-buffer.ts';
export type { BlockExtent, BlockSource, BlockTarget, Extent } from './block.ts';
export { type Clock, systemClock } from './clock.ts';
export { type ErrorCode, type ErrorEntry, errorCatalogue } from './errors/catalogue.ts';
export { HoldfastError, type HoldfastErrorOptions, hasCode, systemErrorCode } from './errors/holdfast-error.ts';
export { type Problem, toProblem } from './errors/problem.ts';
export { type IdPrefix, isId, newId, timeOfId } from './ids.ts';
export { type LanesOptions, runLanes } from './lanes.ts';
export { formatBytes, GiB, KiB, MiB, TiB } from './units.ts';

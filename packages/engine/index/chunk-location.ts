/** Where a chunk lies, as the index tells it. A hint that is checked on reading: the frame there carries the chunk id. */
export type ChunkLocation = {
  /** Name of the pack: 64 lower-case hex digits. */
  readonly packId: string;
  /** Ordinal of the frame in its pack. */
  readonly slot: number;
  /** First byte of the frame in its pack. */
  readonly offset: number;
  readonly storedBytes: number;
};

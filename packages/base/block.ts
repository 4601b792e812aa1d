/**
 * The two ports between disks and the engine. `hypervisor` offers them (files, qcow2, NBD), `engine` uses them; neither
 * knows the other. All offsets and lengths are bytes. Nothing here does I/O.
 */

export type Extent = { readonly offset: number; readonly length: number };

/** A run of a disk; `zero` means that it reads as zeros, so nobody needs to read it. */
export type BlockExtent = Extent & { readonly zero: boolean };

/** A disk to read. Owners dispose it; disposing twice is allowed. */
export interface BlockSource extends AsyncDisposable {
  /** Fixed for the life of the source. */
  readonly sizeBytes: number;
  /** How many `read` calls in flight serve this source best. */
  readonly concurrency: number;
  /**
   * Fills `into` completely from `offset`. The range lies inside the disk.
   * @throws source_changed when the source ends early, source_unreadable, nbd_failed
   */
  read(request: { into: Buffer; offset: number; signal?: AbortSignal | undefined }): Promise<void>;
  /**
   * Extents in ascending order, contiguous, together exactly `range`. A source that cannot tell yields one extent with
   * `zero: false`. A zero extent is a guarantee; `zero: false` is not.
   */
  extents(range: Extent & { signal?: AbortSignal | undefined }): AsyncIterable<BlockExtent>;
}

/** A disk to write. Owners dispose it after `flush`. */
export interface BlockTarget extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly concurrency: number;
  /** True when everything still unwritten reads as zeros, so zero ranges may be left out. */
  readonly fresh: boolean;
  /** Fills `into` with what the target holds now; absent on targets that cannot be read. */
  read?(request: { into: Buffer; offset: number; signal?: AbortSignal | undefined }): Promise<void>;
  /** A hint, of a fresh target: these ranges will all be written, soon. */
  reserve?(ranges: readonly Extent[]): void;
  /**
   * Writes all of `from` at `offset`.
   * @throws target_full, target_unwritable, nbd_failed
   */
  write(request: { from: Buffer; offset: number; signal?: AbortSignal | undefined }): Promise<void>;
  /** Makes the range read as zeros, giving space back where the target can. */
  zero(request: Extent & { signal?: AbortSignal | undefined }): Promise<void>;
  /** Durable afterwards, as far as the target can promise that. */
  flush(): Promise<void>;
}

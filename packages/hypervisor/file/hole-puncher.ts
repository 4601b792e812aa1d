/** Gives ranges of an existing file or device back to its file system. */
import type { Extent } from '@holdfast/base';

export interface HolePuncher extends AsyncDisposable {
  /** The range, whole sectors of 512 bytes, reads as zeros afterwards. */
  punch(range: Extent & { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

export async function holePuncher(_options: {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<HolePuncher | undefined> {
  return undefined;
}

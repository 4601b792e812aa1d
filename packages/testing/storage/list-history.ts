/** What came and went at which call, so that a listing can be given as it was some calls ago. */
import type { BlobInfo } from '@holdfast/storage';

type Change = { readonly call: number; readonly info: BlobInfo; readonly kind: 'added' | 'removed' };

export class ListHistory {
  readonly #changes: Change[] = [];

  added(info: BlobInfo, call: number): void {
    this.#changes.push({ call, info, kind: 'added' });
  }

  removed(info: BlobInfo, call: number): void {
    this.#changes.push({ call, info, kind: 'removed' });
  }

  /** The fresh listing with every change after `call` taken back, in key order. */
  async *asOf(request: {
    readonly fresh: AsyncIterable<BlobInfo>;
    readonly prefix: string;
    readonly call: number;
  }): AsyncGenerator<BlobInfo> {
    const infos = new Map<string, BlobInfo>();
    for await (const info of request.fresh) infos.set(info.key, info);
    for (const { call, info, kind } of this.#changes.toReversed()) {
      if (call <= request.call || !info.key.startsWith(request.prefix)) continue;
      if (kind === 'added') infos.delete(info.key);
      else infos.set(info.key, info);
    }
    yield* [...infos.values()].sort((left, right) => (left.key < right.key ? -1 : 1));
  }
}

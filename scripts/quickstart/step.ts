/** What the stories tell, step by step. */

export type Step = {
  readonly title: string;
  /** How long it took; undefined for a remark about the one before. */
  readonly seconds?: number;
  readonly note: string;
};

export async function timed<T>(work: () => Promise<T>): Promise<{ value: T; seconds: number }> {
  const startedMs = performance.now();
  return { value: await work(), seconds: (performance.now() - startedMs) / 1000 };
}

export function mebibytes(sizeBytes: number): string {
  return `${(sizeBytes / 1024 / 1024).toFixed(1)} MiB`;
}

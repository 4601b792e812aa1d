/** Seeded randomness: an AES-128-CTR keystream, so that the same label gives the same bytes on every machine. */
import { createCipheriv, createHash } from 'node:crypto';

export type Keystream = {
  /** The next `sizeBytes` bytes, incompressible. */
  bytes(sizeBytes: number): Buffer;
  /** Uniform integer in [0, limit), limit at most 2^32. */
  below(limit: number): number;
};

export function createKeystream(label: string): Keystream {
  const digest = createHash('sha256').update(label).digest();
  const cipher = createCipheriv('aes-128-ctr', digest.subarray(0, 16), digest.subarray(16, 32));
  const bytes = (sizeBytes: number): Buffer => cipher.update(Buffer.alloc(sizeBytes));
  const below = (limit: number): number => {
    // Draw again above the largest multiple of `limit`, or small values would come up more often.
    const fair = Math.floor(2 ** 32 / limit) * limit;
    for (;;) {
      const value = bytes(4).readUInt32LE();
      if (value < fair) return value % limit;
    }
  };
  return { bytes, below };
}

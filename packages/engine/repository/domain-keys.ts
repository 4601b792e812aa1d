/** What a domain's one secret gives: separate keys for ids, for authentication and for encryption, by HKDF. */
import { hkdfSync } from 'node:crypto';

export type DomainKeys = {
  readonly domain: string;
  /** Counts the encryption keys of the domain, from 1; frames and manifests name theirs. */
  readonly epoch: number;
  readonly dataIdKey: Buffer;
  readonly subChunkKey: Buffer;
  readonly metaIdKey: Buffer;
  /** Authenticates manifests. */
  readonly macKey: Buffer;
  /** Absent in a domain that is not encrypted. */
  readonly encryptionKey: Buffer | undefined;
};

/** @param secret 32 random bytes, never used directly */
export function deriveDomainKeys(input: {
  readonly domain: string;
  readonly epoch: number;
  readonly secret: Buffer;
  readonly encrypted: boolean;
}): DomainKeys {
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', input.secret, '', `holdfast/1/${input.domain}/${purpose}`, 32));
  return {
    domain: input.domain,
    epoch: input.epoch,
    dataIdKey: derive('chunk-id/data'),
    subChunkKey: derive('chunk-id/sub-chunk'),
    metaIdKey: derive('chunk-id/meta'),
    macKey: derive('manifest-mac'),
    encryptionKey: input.encrypted ? derive(`encryption/${input.epoch}`) : undefined,
  };
}

/** 64 hex digits that tell whether a secret is the one of the repository, and nothing else about it. */
export function keyCheck(secret: Buffer): string {
  return Buffer.from(hkdfSync('sha256', secret, '', 'holdfast/1/key-check', 32)).toString('hex');
}

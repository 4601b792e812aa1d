/**
 * From plaintext to frame and back: hash, compress, encrypt; decrypt, decompress, check the id. What comes out of `decode`
 * is what went in, or it throws; nothing in between.
 */
import { randomFillSync } from 'node:crypto';
import { HoldfastError, hasCode } from '@holdfast/base';
import {
  type ChunkDigest,
  type ChunkHashes,
  digestChunk,
  type StoredDigest,
  subChunkBytes,
} from '../chunk/chunk-digest.ts';
import { type HashAlgorithm, hashBytes, type KeyedHash, keyedHash, objectHash } from '../chunk/hash.ts';
import type { DomainKeys } from '../repository/domain-keys.ts';
import { type CompressionLevel, compress, decompress } from './compression.ts';
import {
  authenticatedHeaderBytes,
  decodeFrame,
  decodeFrameHead,
  encodeFrameHeader,
  type Frame,
  type FrameKind,
  saltBytes,
} from './frame.ts';
import { seal, tagBytes, unseal } from './sealing.ts';

/** Raw is kept unless zstd saves at least this share; reading raw costs nothing. */
const worthwhileSaving = 1 / 64;

/** How much longer than a plaintext the memory for it must be. */
export const decodeSlack = 1;

const noSalt = Buffer.alloc(saltBytes);
const noHashes = Buffer.alloc(0);

/** A frame ready for a pack: parts to be laid one after the other. */
export type EncodedFrame = {
  readonly kind: FrameKind;
  readonly id: Buffer;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly parts: readonly Buffer[];
};

export class ChunkCodec {
  readonly #keys: DomainKeys;
  readonly #algorithm: HashAlgorithm;
  readonly #chunkHashes: ChunkHashes;
  readonly #metaId: KeyedHash;
  #zeroSubChunkHash: Buffer | undefined;

  constructor(options: { readonly keys: DomainKeys; readonly algorithm: HashAlgorithm }) {
    this.#keys = options.keys;
    this.#algorithm = options.algorithm;
    this.#chunkHashes = {
      list: keyedHash(options.algorithm, options.keys.dataIdKey),
      subChunk: keyedHash(options.algorithm, options.keys.subChunkKey),
    };
    this.#metaId = keyedHash(options.algorithm, options.keys.metaIdKey);
  }

  /** Id and sub-chunk hashes of a data chunk. */
  digest(plain: Buffer): ChunkDigest {
    return digestChunk(this.#chunkHashes, plain);
  }

  /** 32 bytes. */
  subChunkHash(content: Buffer): Buffer {
    return this.#chunkHashes.subChunk(content);
  }

  /** What `subChunkHash` answers for a whole sub-chunk of zeros. */
  get zeroSubChunkHash(): Buffer {
    this.#zeroSubChunkHash ??= this.subChunkHash(Buffer.alloc(subChunkBytes));
    return this.#zeroSubChunkHash;
  }

  /** The digest of the chunk whose sub-chunks have these hashes. */
  digestOfHashes(subChunkHashes: Buffer): ChunkDigest {
    return { id: this.#chunkHashes.list(subChunkHashes), subChunkHashes };
  }

  /** 32 bytes. Kinds that mean different things never share an id; pack tables are checkable without keys. */
  idOf(kind: FrameKind, plain: Buffer): Buffer {
    switch (kind) {
      case 'data':
        return this.digest(plain).id;
      case 'patch':
      case 'mapPage':
      case 'mapRoot':
      case 'guestConfiguration':
        return this.#metaId(plain);
      case 'tablePage':
      case 'tableRoot':
        return objectHash(this.#algorithm, plain);
      default:
        return kind satisfies never;
    }
  }

  /**
   * `plain` must not change until the promise settles; parts may be views of it.
   * @param request.subChunkHashes of a data chunk, and of nothing else
   * @param request.into memory for the payload, `packedBound` long; parts may be views of it too
   */
  async encode(request: {
    kind: FrameKind;
    id: Buffer;
    plain: Buffer;
    level: CompressionLevel;
    subChunkHashes?: Buffer;
    into?: Buffer;
  }): Promise<EncodedFrame> {
    const { kind, id, plain, subChunkHashes = noHashes, into } = request;
    const packed = await compress(plain, request.level, into);
    const raw = byteLength(packed) > plain.length * (1 - worthwhileSaving);
    const body = raw ? [plain] : packed;
    const domainKey = isTable(kind) ? undefined : this.#keys.encryptionKey;
    const payloadBytes = byteLength(body) + (domainKey ? tagBytes : 0);
    const salt = domainKey ? randomFillSync(Buffer.alloc(saltBytes)) : noSalt;
    const header = encodeFrameHeader({
      kind,
      compression: raw ? 'raw' : 'zstd',
      encryption: domainKey ? 'aes-256-gcm' : 'none',
      keyEpoch: this.#keys.epoch,
      plainBytes: plain.length,
      payloadBytes,
      subChunkCount: subChunkHashes.length / hashBytes,
      id,
      salt,
    });
    const authenticated = header.subarray(0, authenticatedHeaderBytes);
    const payload = domainKey ? seal({ domainKey, id, salt, header: authenticated }, body) : body;
    return {
      kind,
      id,
      plainBytes: plain.length,
      storedBytes: header.length + subChunkHashes.length + payloadBytes,
      parts: [header, subChunkHashes, ...payload],
    };
  }

  /**
   * The plaintext of the frame at the start of `bytes`, proved by its id.
   * @param expected what the reference said; a frame that is something else is corrupt
   * @param into memory for it, `decodeSlack` longer than the plaintext; the answer is a view of it where that is possible
   * @throws chunk_corrupt, key_missing
   */
  async decode(bytes: Buffer, expected: { kind: FrameKind; id: Buffer }, into?: Buffer): Promise<Buffer> {
    const frame = decodeFrame(bytes);
    if (frame.header.kind !== expected.kind || !frame.header.id.equals(expected.id)) {
      throw new HoldfastError('chunk_corrupt', `Chunk ${expected.id.toString('hex')} is not where its map says.`);
    }
    return await this.decodeFrame(frame, into);
  }

  /**
   * Id, sub-chunk hashes and length of the data frame that begins at the start of `bytes`, without its content.
   * @throws chunk_corrupt when the hashes are not those of the id
   */
  readDigest(bytes: Buffer): StoredDigest {
    const { header, subChunkHashes } = decodeFrameHead(bytes);
    if (header.kind !== 'data' || !this.#chunkHashes.list(subChunkHashes).equals(header.id)) {
      throw new HoldfastError('chunk_corrupt', `Chunk ${header.id.toString('hex')} has damaged sub-chunk hashes.`);
    }
    return { id: header.id, subChunkHashes, plainBytes: header.plainBytes };
  }

  /** As `decode`, for a frame that is taken as it comes (scrub). */
  async decodeFrame(frame: Frame, into?: Buffer): Promise<Buffer> {
    const { header } = frame;
    let plain: Buffer;
    try {
      const body = header.encryption === 'none' ? frame.payload : this.#unseal(frame);
      plain = header.compression === 'raw' ? body : await decompress(body, header.plainBytes, into);
    } catch (cause) {
      if (hasCode(cause, 'key_missing')) throw cause;
      throw new HoldfastError('chunk_corrupt', `Chunk ${header.id.toString('hex')} cannot be unpacked.`, { cause });
    }
    if (plain.length !== header.plainBytes || !this.idOf(header.kind, plain).equals(header.id)) {
      throw new HoldfastError(
        'chunk_corrupt',
        `Chunk ${header.id.toString('hex')} does not have the content of its id.`,
      );
    }
    return plain;
  }

  #unseal(frame: Frame): Buffer {
    const { header } = frame;
    const domainKey = this.#keys.encryptionKey;
    if (domainKey === undefined || header.keyEpoch !== this.#keys.epoch) {
      throw new HoldfastError('key_missing', `A chunk needs the key of epoch ${header.keyEpoch}.`);
    }
    const input = {
      domainKey,
      id: header.id,
      salt: header.salt,
      header: frame.headerBytes.subarray(0, authenticatedHeaderBytes),
    };
    return unseal(input, frame.payload);
  }
}

function byteLength(parts: readonly Buffer[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function isTable(kind: FrameKind): boolean {
  return kind === 'tablePage' || kind === 'tableRoot';
}

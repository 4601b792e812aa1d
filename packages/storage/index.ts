export type {
  BlobBody,
  BlobInfo,
  BlobStore,
  ByteRange,
  CallOptions,
  StorageCapabilities,
} from './blob-store.ts';

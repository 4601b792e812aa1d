/** Memory that the kernel takes for writes past the page cache (O_DIRECT): it begins at a page. */
import { KiB } from './units.ts';

// Of the platform, but not in the type libraries of a program without a browser.
declare const WebAssembly: {
  readonly Memory: new (pages: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
};

/** Covers the sector sizes in use. Offsets and lengths of direct writes are multiples of it too. */
export const alignmentBytes = 4 * KiB;

const wasmPageBytes = 64 * KiB;

const alignedMemories = new WeakSet<ArrayBufferLike>();

/**
 * At least page-aligned where the platform allows it, which WebAssembly memories are and Node's buffers are not; an
 * ordinary buffer otherwise, so users must be ready for EINVAL. For few and large buffers: each takes address space.
 */
export function alignedBuffer(sizeBytes: number): Buffer {
  try {
    const memory = new WebAssembly.Memory({ initial: Math.max(1, Math.ceil(sizeBytes / wasmPageBytes)) });
    alignedMemories.add(memory.buffer);
    return Buffer.from(memory.buffer, 0, sizeBytes);
  } catch {
    // No address space left, or a Node without WebAssembly.
    return Buffer.allocUnsafeSlow(sizeBytes);
  }
}

/** Whether the kernel takes the buffer as it is: a part of an `alignedBuffer` that begins at a page. */
export function isAligned(buffer: Buffer): boolean {
  return buffer.byteOffset % alignmentBytes === 0 && alignedMemories.has(buffer.buffer);
}

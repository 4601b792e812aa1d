/**
 * Streams the extents of one metadata context over any range: windows of at most 4 GiB are asked ahead of the reader,
 * answers shorter than their window are continued, and what comes out is gapless and in order.
 */
import { type Extent, GiB } from '@holdfast/base';
import type { NbdReply, RequestSpec } from './in-flight-request.ts';
import { type NbdErrorContext, protocolBreach } from './nbd-error.ts';

export type StatusExtent = Extent & { readonly flags: number };

/** A length is 32 bits; 2 GiB keeps every window aligned. */
const WINDOW_BYTES = 2 * GiB;

/** Windows asked ahead: hides the round trips of a huge sparse disk; at most 8 answers of a million extents are held. */
const WINDOWS_AHEAD = 8;

export async function* streamBlockStatus(options: {
  readonly range: Extent;
  readonly contextId: number;
  readonly minBlockBytes: number;
  readonly request: (spec: RequestSpec) => Promise<NbdReply>;
  readonly errorContext: NbdErrorContext;
  readonly signal?: AbortSignal | undefined;
}): AsyncGenerator<StatusExtent, void, undefined> {
  const { range, minBlockBytes } = options;
  if (range.length === 0) return;
  const end = range.offset + range.length;
  const alignedEnd = Math.ceil(end / minBlockBytes) * minBlockBytes;
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const ahead: {
    readonly offset: number;
    readonly length: number;
    readonly answer: Promise<readonly StatusExtent[]>;
  }[] = [];
  let asked = range.offset - (range.offset % minBlockBytes);
  try {
    while (asked < alignedEnd || ahead.length > 0) {
      while (asked < alignedEnd && ahead.length < WINDOWS_AHEAD) {
        const length = Math.min(WINDOW_BYTES, alignedEnd - asked);
        const answer = ask({ ...options, signal, offset: asked, length });
        // It may fail before its turn comes; it is awaited then.
        answer.catch(() => undefined);
        ahead.push({ offset: asked, length, answer });
        asked += length;
      }
      const { offset, length, answer } = ahead.shift()!;
      let position = offset;
      let extents = await answer;
      for (;;) {
        for (const extent of extents) {
          position = extent.offset + extent.length;
          const clipped = clip(extent, range.offset, end);
          if (clipped) yield clipped;
        }
        if (position >= offset + length) break;
        extents = await ask({ ...options, signal, offset: position, length: offset + length - position });
      }
    }
  } finally {
    // Left early (or failed): what was asked ahead is of no use to anyone.
    stop.abort();
  }
}

/** Ascending extents from `offset`, at least one, not past the end of the window. */
async function ask(options: {
  readonly offset: number;
  readonly length: number;
  readonly contextId: number;
  readonly minBlockBytes: number;
  readonly request: (spec: RequestSpec) => Promise<NbdReply>;
  readonly errorContext: NbdErrorContext;
  readonly signal: AbortSignal;
}): Promise<readonly StatusExtent[]> {
  const { offset, length, signal } = options;
  const { extents } = await options.request({ command: 'blockStatus', offset, length, signal });
  const found: StatusExtent[] = [];
  let position = offset;
  for (const extent of extents.get(options.contextId) ?? []) {
    if (extent.length % options.minBlockBytes !== 0) {
      throw protocolBreach({ ...options.errorContext, command: 'blockStatus', offset }, 'an extent of part of a block');
    }
    // The last one may say more than was asked for; the rest is asked again in its turn.
    const usable = Math.min(extent.length, offset + length - position);
    found.push({ offset: position, length: usable, flags: extent.flags });
    position += usable;
  }
  if (found.length === 0) {
    throw protocolBreach({ ...options.errorContext, command: 'blockStatus', offset }, 'no extents');
  }
  return found;
}

function clip(extent: StatusExtent, start: number, end: number): StatusExtent | undefined {
  const from = Math.max(extent.offset, start);
  const to = Math.min(extent.offset + extent.length, end);
  return from < to ? { offset: from, length: to - from, flags: extent.flags } : undefined;
}

/** Ends a backup before its scratch space is full: then the guest would stand still. */
import { pause } from '@holdfast/hypervisor/libvirt';
import type { Scratch } from './scratch.ts';

/** A guest that writes 1 GB/s takes a quarter of what is kept free meanwhile. */
const POLL_MS = 100;

export interface ScratchWatch extends AsyncDisposable {
  /** Aborts with scratch_full as its reason. */
  readonly signal: AbortSignal;
}

export function watchScratch(scratch: Scratch): ScratchWatch {
  const full = new AbortController();
  const done = new AbortController();
  const watching = (async () => {
    try {
      for (;;) {
        await pause(POLL_MS, done.signal);
        await scratch.check();
      }
    } catch (error) {
      if (!done.signal.aborted) full.abort(error);
    }
  })();
  return {
    signal: full.signal,
    async [Symbol.asyncDispose]() {
      done.abort();
      await watching;
    },
  };
}

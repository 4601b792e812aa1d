/**
 * Keeps on disk, from before the freeze on, that the guest may be frozen, until it is known to be thawed: invariant 12 of
 * the data model, also across our own death. The same of the hook in the guest: who was told `freeze` is told `thaw`.
 */
import { type Domain, thawUntilThawed } from '@holdfast/hypervisor/libvirt';
import type { GuestHook } from './guest-hook.ts';
import type { MachineClaim } from './machine-claim.ts';
import type { HeldGuest, WorkRecord } from './work-record.ts';

/** For a guest whose thaw went wrong; the next command tries again. */
const THAW_LIMIT_MS = 30_000;

type Work = Omit<WorkRecord, keyof HeldGuest>;

export class FreezeRecord {
  readonly #domain: Domain;
  readonly #claim: MachineClaim;
  readonly #work: Work;
  #held: HeldGuest;

  /** @param options.held by somebody before us, whose guest does not answer */
  constructor(options: {
    readonly domain: Domain;
    readonly claim: MachineClaim;
    readonly work: Work;
    readonly held: HeldGuest;
  }) {
    this.#domain = options.domain;
    this.#claim = options.claim;
    this.#work = options.work;
    this.#held = options.held;
  }

  /** Before the hook is called with `freeze`. */
  async openHook({ path, timeoutMs }: GuestHook): Promise<void> {
    await this.#write({ open_hook: { path, timeout_ms: timeoutMs } });
  }

  /** It was called with `thaw`, whatever came of it; or it is not there. */
  async closeHook(): Promise<void> {
    await this.#write({ open_hook: null });
  }

  /** Before the job begins. @param frozenSince now, when the guest will be frozen */
  async open(frozenSince: string | null): Promise<void> {
    await this.#write({ frozen_since: this.#held.frozen_since ?? frozenSince });
  }

  /** The guest was seen to thaw. */
  async close(): Promise<void> {
    await this.#write({ frozen_since: null });
  }

  /** After whatever went wrong. @returns false when the guest does not answer; the record stays then */
  async thaw(): Promise<boolean> {
    if (this.#held.frozen_since === null) return true;
    if (!(await thawUntilThawed({ domain: this.#domain, timeoutMs: THAW_LIMIT_MS }))) return false;
    await this.close();
    return true;
  }

  /** Nothing is left of the work. The record stays when the guest may be frozen, or its hook waits. */
  async end(): Promise<void> {
    if (this.#held.frozen_since === null && this.#held.open_hook === null) await this.#claim.clear();
  }

  async #write(change: Partial<HeldGuest>): Promise<void> {
    this.#held = { ...this.#held, ...change };
    await this.#claim.record({ ...this.#work, ...this.#held });
  }
}

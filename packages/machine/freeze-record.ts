/**
 * Keeps on disk, from before the freeze on, that the guest may be frozen, until it is known to be thawed: invariant 12 of
 * the data model, also across our own death.
 */
import { type Domain, thawUntilThawed } from '@holdfast/hypervisor/libvirt';
import type { MachineClaim } from './machine-claim.ts';
import type { WorkRecord } from './work-record.ts';

/** For a guest whose thaw went wrong; the next command tries again. */
const THAW_LIMIT_MS = 30_000;

export class FreezeRecord {
  readonly #domain: Domain;
  readonly #claim: MachineClaim;
  readonly #work: Omit<WorkRecord, 'frozen_since'>;
  #frozenSince: string | null;

  /** @param options.frozenSince by somebody before us, whose guest does not answer */
  constructor(options: {
    readonly domain: Domain;
    readonly claim: MachineClaim;
    readonly work: Omit<WorkRecord, 'frozen_since'>;
    readonly frozenSince: string | null;
  }) {
    this.#domain = options.domain;
    this.#claim = options.claim;
    this.#work = options.work;
    this.#frozenSince = options.frozenSince;
  }

  /** Before the job begins. @param frozenSince now, when the guest will be frozen */
  async open(frozenSince: string | null): Promise<void> {
    this.#frozenSince ??= frozenSince;
    await this.#write();
  }

  /** The guest was seen to thaw. */
  async close(): Promise<void> {
    this.#frozenSince = null;
    await this.#write();
  }

  /** After whatever went wrong. @returns false when the guest does not answer; the record stays then */
  async thaw(): Promise<boolean> {
    if (this.#frozenSince === null) return true;
    if (!(await thawUntilThawed({ domain: this.#domain, timeoutMs: THAW_LIMIT_MS }))) return false;
    await this.close();
    return true;
  }

  /** Nothing is left of the work. The record stays when the guest may be frozen. */
  async end(): Promise<void> {
    if (this.#frozenSince === null) await this.#claim.clear();
  }

  async #write(): Promise<void> {
    await this.#claim.record({ ...this.#work, frozen_since: this.#frozenSince });
  }
}

/**
 * What a process left behind that died while it backed a machine up: a guest that may be frozen, a hook in it that waits, a
 * backup job that eats scratch space, its files. Called at the start of every command that has to do with machines.
 */
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { HoldfastError, hasCode, systemErrorCode } from '@holdfast/base';
import { type Domain, isActive, type Libvirt, pause, thawUntilThawed } from '@holdfast/hypervisor/libvirt';
import { callGuestHook } from './guest-hook.ts';
import { claimMachine, claimsDirectory, type MachineClaim, recordPath } from './machine-claim.ts';
import { isScratchDirectory } from './scratch.ts';
import { type HeldGuest, readWorkRecord, type WorkRecord } from './work-record.ts';

/** An agent that hangs must not keep a command waiting; the record stays, and the next one tries again. */
const THAW_LIMIT_MS = 10_000;

/**
 * Puts in order what is left of machines of this libvirt whose holder is dead.
 * @returns a sentence for the user about each
 */
export async function settleLeftovers(options: {
  readonly libvirt: Libvirt;
  readonly stateDirectory: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly string[]> {
  const { libvirt, stateDirectory, signal } = options;
  const told: string[] = [];
  for (const uuid of await recordedMachines(stateDirectory)) {
    try {
      // Looked at first: a claim keeps others out, and this may be a machine of another libvirt.
      const record = await readWorkRecord(recordPath(stateDirectory, uuid));
      if (record?.uri !== libvirt.uri.text) continue;
      await using claim = await claimMachine({ stateDirectory, uuid, name: record.name });
      const domain = await findDomain(libvirt, record, signal);
      if (domain) told.push(...(await settleMachine({ domain, claim, signal })).told);
      else await forget(claim);
    } catch (error) {
      // Somebody works on it: there is nothing left.
      if (!hasCode(error, 'resource_busy')) throw error;
    }
  }
  return told;
}

/** Work that began so shortly ago may still be about to begin its job, which takes this long at most on a machine at rest. */
const FRESH_MS = 60_000;
const LATE_JOB_MS = 2000;
const POLL_MS = 200;

export type Settled = {
  readonly told: readonly string[];
  /** As it was, when the guest may be frozen all the same: its agent does not answer. The record stays. */
  readonly held: HeldGuest;
};

/** The same for one machine that is claimed. Also ends a job of ours that nobody recorded. */
export async function settleMachine(options: {
  readonly domain: Domain;
  readonly claim: MachineClaim;
  readonly signal?: AbortSignal | undefined;
}): Promise<Settled> {
  const { domain, claim, signal } = options;
  const { left } = claim;
  const told: string[] = [];
  const frozenSince = left?.frozen_since ?? null;
  let isThawed = true;
  if (frozenSince !== null) {
    isThawed = await thawUntilThawed({ domain, timeoutMs: THAW_LIMIT_MS, signal });
    told.push(
      isThawed
        ? `${domain.name} may have been frozen since ${frozenSince}; it is thawed.`
        : `${domain.name} may be frozen since ${frozenSince}, and its guest agent does not answer.`,
    );
  }
  const socket = await findJob({ domain, left, signal });
  if (socket !== undefined && isScratchDirectory(dirname(socket))) {
    await endJob(domain, signal);
    await rm(dirname(socket), { recursive: true, force: true });
    told.push(`A backup of ${domain.name} that nobody reads any more was ended.`);
  }
  if (!left) return { told, held: released };
  if (!isThawed) return { told, held: { frozen_since: left.frozen_since, open_hook: left.open_hook } };
  told.push(...(await releaseHook({ domain, left, signal })));
  await forget(claim);
  return { told, held: released };
}

const released: HeldGuest = { frozen_since: null, open_hook: null };

/**
 * Tried once: what a hook holds ends by itself (docs/guest-hooks.md). A guest that is still frozen could not run it.
 * @returns what to tell the user
 */
async function releaseHook(request: {
  readonly domain: Domain;
  readonly left: WorkRecord;
  readonly signal: AbortSignal | undefined;
}): Promise<readonly string[]> {
  const { domain, left, signal } = request;
  if (left.open_hook === null) return [];
  const { path, timeout_ms: timeoutMs } = left.open_hook;
  try {
    // Again: the call of whoever was killed a moment ago may have frozen it since.
    if (!(await thawUntilThawed({ domain, timeoutMs: THAW_LIMIT_MS, signal }))) {
      throw new HoldfastError('guest_agent_unresponsive', 'its guest agent does not answer');
    }
    if (!isActive((await domain.status({ signal })).state)) return [];
    await callGuestHook({ agent: domain.agent, hook: { path, timeoutMs }, phase: 'thaw', signal });
    return [`The hook in ${domain.name} may have been waiting; it is told that the backup is over.`];
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return [`The hook in ${domain.name} was not told that the backup is over: ${error.message}`];
  }
}

/**
 * Of whoever was killed a moment ago, the call to libvirt may live: it freezes, begins and thaws by itself (frozen-backup.ts in
 * the hypervisor package), and its job comes after we have looked.
 */
async function findJob(request: {
  readonly domain: Domain;
  readonly left: WorkRecord | undefined;
  readonly signal: AbortSignal | undefined;
}): Promise<string | undefined> {
  const { domain, left, signal } = request;
  const ageMs = Date.now() - Date.parse(left?.started_at ?? '1970-01-01T00:00:00Z');
  const waitMs = Math.abs(ageMs) < FRESH_MS ? LATE_JOB_MS : 0;
  for (const startedMs = performance.now(); ; await pause(POLL_MS, signal)) {
    const socket = await domain.backupSocket({ signal });
    if (socket !== undefined || performance.now() - startedMs >= waitMs) return socket;
  }
}

/** One that ended by itself meanwhile is as good. */
async function endJob(domain: Domain, signal: AbortSignal | undefined): Promise<void> {
  try {
    await domain.abortJob({ signal });
  } catch (error) {
    if (!hasCode(error, 'vm_state_invalid')) throw error;
  }
}

async function forget(claim: MachineClaim): Promise<void> {
  const scratch = claim.left?.scratch ?? '';
  if (isScratchDirectory(scratch)) await rm(scratch, { recursive: true, force: true });
  await claim.clear();
}

async function findDomain(
  libvirt: Libvirt,
  { uuid }: WorkRecord,
  signal: AbortSignal | undefined,
): Promise<Domain | undefined> {
  try {
    return await libvirt.domain(uuid, { signal });
  } catch (error) {
    if (!hasCode(error, 'vm_not_found')) throw error;
    return undefined;
  }
}

async function recordedMachines(stateDirectory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(claimsDirectory(stateDirectory));
    return names.filter((name) => name.endsWith('.json')).map((name) => basename(name, '.json'));
  } catch (error) {
    // Others who may not read it may not put it in order either.
    if (['ENOENT', 'EACCES'].includes(systemErrorCode(error) ?? '')) return [];
    throw error;
  }
}

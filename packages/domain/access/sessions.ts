/** How long a session lives. */
import type { Clock } from '@holdfast/base';
import type { Liveness } from './session.store.ts';

/** However much it is used. */
export const sessionLifetimeMs = 7 * 24 * 60 * 60_000;
/** Without being used. */
const sessionIdleMs = 12 * 60 * 60_000;
/** Uses within it are not written down one by one. */
export const useGrainMs = 60_000;

export function livenessAt(clock: Clock): Liveness {
  const nowMs = clock.nowMs();
  return { now: new Date(nowMs), idleSince: new Date(nowMs - sessionIdleMs) };
}

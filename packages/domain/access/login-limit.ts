/**
 * How often somebody may guess. Every attempt is written down before the password is looked at, and taken back when it was
 * right; so guesses that run at the same time cannot be more than those one after the other.
 */

/** How long an attempt counts. */
export const attemptWindowMs = 15 * 60_000;

/** Guesses of an address from a client: an address locks for one client soon, and for everybody only late. */
export const attemptLimits = {
  /** For this address from this client. */
  sameClient: 5,
  /** For this address from anywhere: someone with many machines. */
  sameAddress: 50,
  /** From this client for any address: someone with a list of addresses. */
  anyAddress: 30,
} as const;

export type Attempt = { readonly email: string; readonly client: string; readonly atMs: number };

/**
 * How long to wait before another attempt, in milliseconds; 0 when the present one may go on.
 * @param attempts all of this address and all of this client within the window, the present one among them
 */
export function waitBeforeAttempt(request: {
  readonly email: string;
  readonly client: string;
  readonly attempts: readonly Attempt[];
  readonly nowMs: number;
}): number {
  const { email, client, nowMs } = request;
  const within = request.attempts.filter(({ atMs }) => atMs > nowMs - attemptWindowMs);
  const ofAddress = within.filter((attempt) => attempt.email === email);
  const ofClient = within.filter((attempt) => attempt.client === client);
  const bothWays = ofAddress.filter((attempt) => attempt.client === client);
  return Math.max(
    waitFor(bothWays, attemptLimits.sameClient, nowMs),
    waitFor(ofAddress, attemptLimits.sameAddress, nowMs),
    waitFor(ofClient, attemptLimits.anyAddress, nowMs),
  );
}

/** Until as many have left the window as are too many. */
function waitFor(attempts: readonly Attempt[], limit: number, nowMs: number): number {
  if (attempts.length <= limit) return 0;
  const times = attempts.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  return Math.max(1, times[times.length - limit - 1]! + attemptWindowMs - nowMs);
}

/** A client by its address: of IPv6 the network, for whoever has one address of a /64 has all of them. */
export function clientOf(ip: string): string {
  if (!ip.includes(':')) return ip;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip);
  if (mapped) return mapped[1]!;
  const [head = '', tail] = ip.toLowerCase().split('%')[0]!.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? 0 : tail.split(':').length;
    while (groups.length + after < 8) groups.push('0');
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}

/** Names of runs: `<time, 12 hex>-<random, 16 hex>`, so that listing gives them by age and no two are ever equal. */
import type { Clock } from '@holdfast/base';

export function runName(request: { readonly clock: Clock; readonly nonce: Buffer }): string {
  const time = Math.floor(request.clock.nowMs()).toString(16).padStart(12, '0');
  return `${time}-${request.nonce.toString('hex', 0, 8)}`;
}

export function isRunName(name: string): boolean {
  return /^[0-9a-f]{12}-[0-9a-f]{16}$/.test(name);
}

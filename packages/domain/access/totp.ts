/** Signing in with a second thing that one has: RFC 6238, as every authenticator app does it. */
import { Secret, TOTP } from 'otpauth';

const periodS = 30;
/** Codes of one period before and after count too: devices' clocks differ, and people type slowly. */
const window = 1;

export type TotpSecret = {
  /** Base32; what is to be kept, sealed. */
  readonly secret: string;
  /** For a QR code. */
  readonly uri: string;
};

export function newTotpSecret(email: string): TotpSecret {
  const secret = new Secret({ size: 20 });
  return { secret: secret.base32, uri: totpOf(secret.base32, email).toString() };
}

export type TotpCheck = {
  readonly secret: string;
  readonly code: string;
  /** The step whose code was used last; a code counts once. */
  readonly lastStep: number | null;
  readonly nowMs: number;
};

/** The step that the code is of, to be kept as the last one; undefined when it is wrong or was used. */
export function stepOfCode({ secret, code, lastStep, nowMs }: TotpCheck): number | undefined {
  const delta = totpOf(secret, '').validate({ token: code, timestamp: nowMs, window });
  if (delta === null) return undefined;
  const step = Math.floor(nowMs / 1000 / periodS) + delta;
  return lastStep !== null && step <= lastStep ? undefined : step;
}

function totpOf(secret: string, label: string): TOTP {
  return new TOTP({ issuer: 'Holdfast', label, secret, algorithm: 'SHA1', digits: 6, period: periodS });
}

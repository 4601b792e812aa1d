/**
 * API tokens: `hf_`, 43 characters for 256 random bits, 6 for their CRC-32, all of base 62, so that a double click selects
 * a whole one, scanners for leaked secrets recognise it, and one that lost a character is refused without a query. What
 * is kept is the SHA-256: of 256 random bits, that cannot be guessed back, so no slow hash is needed.
 */
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const bodyLength = 43;
const sumLength = 6;

export type SecretToken = {
  /** Given away once. */
  readonly token: string;
  /** How it begins, to be shown. */
  readonly hint: string;
  /** What is kept. */
  readonly hash: string;
};

export function newApiToken(): SecretToken {
  const body = base62(BigInt(`0x${randomBytes(32).toString('hex')}`), bodyLength);
  const token = `hf_${body}${sumOf(body)}`;
  return { token, hint: token.slice(0, 7), hash: hashOfSecret(token) };
}

/** Whether it can be one at all: form and sum. */
export function isApiToken(text: string): boolean {
  const body = text.slice(3, 3 + bodyLength);
  return /^hf_[0-9A-Za-z]{49}$/.test(text) && text.slice(-sumLength) === sumOf(body);
}

/** What the cookie of a session holds. */
export function newSessionSecret(): { readonly secret: string; readonly hash: string } {
  const secret = randomBytes(32).toString('base64url');
  return { secret, hash: hashOfSecret(secret) };
}

/** SHA-256, hex. */
export function hashOfSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** For a first administrator: 119 bits, without letters that are taken for each other. */
export function newPassword(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
  // 31 letters: of a byte, 248 values fall evenly on them, the others are drawn again.
  let password = '';
  while (password.length < 24) {
    for (const byte of randomBytes(32)) if (byte < 248 && password.length < 24) password += letters[byte % 31];
  }
  return password.replace(/(.{6})(?=.)/g, '$1-');
}

function sumOf(body: string): string {
  return base62(BigInt(crc32(body)), sumLength);
}

function base62(value: bigint, length: number): string {
  let text = '';
  for (let rest = value; text.length < length; rest /= 62n) text = digits[Number(rest % 62n)]! + text;
  return text;
}

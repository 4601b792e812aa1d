/** Which storage a URL names. Parsed once at the border; inside, a storage is the union below. */
import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '@holdfast/base';

export type StorageLocation = {
  readonly kind: 'local';
  /** Absolute path without a slash at the end. */
  readonly directory: string;
};

/** Named so that their users read what is missing instead of "invalid". */
const laterKinds = new Set(['s3:', 'sftp:', 'ftp:', 'ftps:']);

/**
 * `file:///absolute/dir`, percent-encoded where a URL needs it. Plain paths are refused: a typing error in a scheme
 * must not create a directory. Messages never repeat the URL beyond its scheme, since URLs may carry passwords.
 * @throws storage_url_invalid
 */
export function parseStorageUrl(text: string): StorageLocation {
  if (!URL.canParse(text)) {
    throw invalid(
      isAbsolute(text) ? 'A path was given where a storage URL is needed.' : 'This is no URL.',
      isAbsolute(text) ? `Write it as file://${text}` : undefined,
    );
  }
  const url = new URL(text);
  if (laterKinds.has(url.protocol)) {
    throw invalid(`This version has the local driver only; it cannot use ${url.protocol}// storage.`, useFile);
  }
  if (url.protocol !== 'file:') throw invalid(`No storage driver is called ${url.protocol.slice(0, -1)}.`, useFile);
  return { kind: 'local', directory: localDirectory(text, url) };
}

const useFile = 'Use file:///absolute/dir; NFS works as a mounted directory.';

function localDirectory(text: string, url: URL): string {
  // `new URL` reads file:dir and file://dir as something else than was meant; only three slashes are unambiguous.
  if (!/^file:\/\/\//i.test(text)) throw invalid('A file URL needs three slashes and an absolute directory.', useFile);
  if (url.search !== '' || url.hash !== '') {
    throw invalid('A file URL takes no ? or # part.', 'Write ? as %3F and # as %23 in directory names.');
  }
  let directory: string;
  try {
    directory = fileURLToPath(url).replace(/\/+$/, '');
  } catch (cause) {
    throw invalid('The directory of the file URL cannot be decoded.', useFile, cause);
  }
  if (directory === '') throw invalid('The root directory cannot be a storage.', useFile);
  if (directory.includes('\0')) throw invalid('The directory holds a zero byte.', useFile);
  return directory;
}

function invalid(detail: string, remedy?: string, cause?: unknown): HoldfastError {
  return new HoldfastError('storage_url_invalid', detail, { cause, ...(remedy !== undefined && { remedy }) });
}

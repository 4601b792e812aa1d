/**
 * Records by name on the keeper's own disk: what it has read of a repository, so that it need not read it again. Each
 * run adds a segment file, whole or not at all; many small ones, or much that is stale, become one. Losing any of it costs
 * time only, and processes that share a directory do not disturb each other.
 *
 *   record   name bytes (u16), content bytes (u32), CRC-32 of both (u32), name, content; a content of 0 bytes takes the
 *            name back, for good
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { MiB, systemErrorCode } from '@holdfast/base';

const headBytes = 10;
const segmentName = /^[0-9a-f]{16}\.log$/;
/** Of records not written yet. */
const pendingAtMost = 4 * MiB;
const segmentsAtMost = 24;
/** What claims to be longer is damaged. A page of 128 packs has up to 70 KiB. */
const contentAtMost = 64 * MiB;
const readBytes = 1 * MiB;

export type LogRecord = { readonly name: string; readonly content: Buffer };

export class RecordLog {
  /** Undefined: everything stays in memory. */
  readonly #directory: string | undefined;
  readonly #names = new Set<string>();
  readonly #takenBack = new Set<string>();
  #segments: string[] = [];
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #storedRecords = 0;

  private constructor(directory: string | undefined) {
    this.#directory = directory;
  }

  /** @param directory made when it is missing; without one, or when that is not allowed, nothing outlives this object */
  static async open(directory: string | undefined): Promise<RecordLog> {
    if (directory === undefined) return new RecordLog(undefined);
    try {
      await makeDirectory(directory);
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      return new RecordLog(undefined);
    }
    const log = new RecordLog(directory);
    log.#segments = (await readdir(directory)).filter((name) => segmentName.test(name));
    for await (const { name, content } of log.#stored()) {
      log.#storedRecords += 1;
      if (content.length === 0) log.#takenBack.add(name);
      else log.#names.add(name);
    }
    for (const name of log.#takenBack) log.#names.delete(name);
    return log;
  }

  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** @param content at least a byte */
  async add(name: string, content: Buffer): Promise<void> {
    if (this.#names.has(name) || this.#takenBack.has(name)) return;
    this.#names.add(name);
    await this.#append(name, content);
  }

  /** The name is of no use any more, and never will be. */
  async takeBack(name: string): Promise<void> {
    if (!this.#names.delete(name)) return;
    this.#takenBack.add(name);
    await this.#append(name, Buffer.alloc(0));
  }

  /** Every record, in no order; contents are views that hold until the next one. */
  async *scan(): AsyncGenerator<LogRecord> {
    for await (const record of this.#stored()) if (this.#names.has(record.name)) yield record;
    for (const record of recordsIn(Buffer.concat(this.#pending)).records) {
      if (this.#names.has(record.name)) yield record;
    }
  }

  /** Writes what is new, and puts segments together when there are many or most of it is stale. */
  async close(isWanted: (name: string) => boolean): Promise<void> {
    if (this.#directory === undefined) return;
    for (const name of this.#names) if (!isWanted(name)) this.#names.delete(name);
    const isStale = this.#storedRecords > 2 * this.#names.size + 1000;
    if (this.#segments.length < segmentsAtMost && !isStale) return await this.#flush();
    const before = this.#segments;
    const kept: Buffer[] = [];
    let keptBytes = 0;
    const file = await this.#newSegment();
    try {
      for await (const { name, content } of this.scan()) {
        const record = encodeRecord(name, content);
        kept.push(record);
        keptBytes += record.length;
        if (keptBytes < pendingAtMost) continue;
        await file.handle.writeFile(Buffer.concat(kept.splice(0)));
        keptBytes = 0;
      }
      await file.handle.writeFile(Buffer.concat(kept));
    } finally {
      await file.handle.close();
    }
    await rename(file.path, join(this.#directory, file.name));
    this.#pending = [];
    for (const name of before) await rm(join(this.#directory, name), { force: true });
  }

  async #append(name: string, content: Buffer): Promise<void> {
    const record = encodeRecord(name, content);
    this.#pending.push(record);
    this.#pendingBytes += record.length;
    if (this.#pendingBytes >= pendingAtMost && this.#directory !== undefined) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#directory === undefined || this.#pending.length === 0) return;
    const content = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    const name = newSegmentName();
    await writeFile(join(this.#directory, `.${name}`), content, { mode: 0o600 });
    await rename(join(this.#directory, `.${name}`), join(this.#directory, name));
    this.#segments.push(name);
  }

  async #newSegment() {
    const name = newSegmentName();
    const path = join(this.#directory!, `.${name}`);
    return { name, path, handle: await open(path, 'wx', 0o600) };
  }

  async *#stored(): AsyncGenerator<LogRecord> {
    for (const name of this.#segments) {
      const file = await open(join(this.#directory!, name)).catch(() => undefined);
      // Another process has put it into another segment since.
      if (!file) continue;
      try {
        // One buffer for all of it: a fresh one for each read piles up until the next garbage collection.
        let buffer = Buffer.allocUnsafeSlow(readBytes);
        let filled = 0;
        for (;;) {
          const { bytesRead } = await file.read(buffer, filled, buffer.length - filled);
          if (bytesRead === 0) break;
          const { records, used, isDamaged } = recordsIn(buffer.subarray(0, filled + bytesRead));
          yield* records;
          if (isDamaged) break;
          filled = used.copy(buffer);
          if (filled === buffer.length) buffer = Buffer.concat([buffer], 2 * buffer.length);
        }
      } finally {
        await file.close();
      }
    }
  }
}

/** Not `recursive`, which never ends where the system says ENOENT for a folder whose parent is there (/proc). */
async function makeDirectory(path: string): Promise<void> {
  try {
    await makeOne(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await makeOne(path);
  }
}

async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
  }
}

function newSegmentName(): string {
  return `${randomBytes(8).toString('hex')}.log`;
}

function encodeRecord(name: string, content: Buffer): Buffer {
  const nameBytes = Buffer.from(name, 'latin1');
  const head = Buffer.alloc(headBytes);
  head.writeUInt16LE(nameBytes.length, 0);
  head.writeUInt32LE(content.length, 2);
  head.writeUInt32LE(crc32(content, crc32(nameBytes)), 6);
  return Buffer.concat([head, nameBytes, content]);
}

/** The whole records at the front, and the bytes after them. */
function recordsIn(bytes: Buffer): { records: LogRecord[]; used: Buffer; isDamaged: boolean } {
  const records: LogRecord[] = [];
  let at = 0;
  while (at + headBytes <= bytes.length) {
    const nameEnd = at + headBytes + bytes.readUInt16LE(at);
    const contentBytes = bytes.readUInt32LE(at + 2);
    if (contentBytes > contentAtMost) return { records, used: bytes, isDamaged: true };
    const end = nameEnd + contentBytes;
    if (end > bytes.length) break;
    const both = bytes.subarray(at + headBytes, end);
    if (crc32(both) !== bytes.readUInt32LE(at + 6)) return { records, used: bytes, isDamaged: true };
    records.push({ name: bytes.toString('latin1', at + headBytes, nameEnd), content: bytes.subarray(nameEnd, end) });
    at = end;
  }
  return { records, used: bytes.subarray(at), isDamaged: false };
}

/**
 * An export: lines of JSON, each ended by a newline.
 *
 *     {"format": "holdfast-database", "format_version": 1, "step": 2, "exported_at": "...", "tables": [{"name", "columns"}]}
 *     {"table": "account"}
 *     {"row": {...}}                     as to_jsonb writes it: no digit of a number and no microsecond is lost
 *     ...
 *     {"rows": 17, "sha256": "..."}      over every byte before this line
 *
 * Without the last line it is cut off. Tables come after those they refer to.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/base';

export const formatName = 'holdfast-database';
export const formatVersion = 1;

export type ExportHeader = {
  readonly format: typeof formatName;
  readonly format_version: typeof formatVersion;
  /** The last step of the schema that was applied. */
  readonly step: number;
  readonly exported_at: string;
  readonly tables: readonly { readonly name: string; readonly columns: readonly string[] }[];
};

export type ExportEntry =
  | { readonly kind: 'table'; readonly table: string }
  /** The text of the row's JSON document. */
  | { readonly kind: 'row'; readonly json: string };

export type CheckedExport = { readonly header: ExportHeader; readonly rows: number };

const ROW_START = '{"row":';

export function tableLine(name: string): string {
  return `${JSON.stringify({ table: name })}\n`;
}

export function rowLine(json: string): string {
  return `${ROW_START}${json}}\n`;
}

/** Reads all of it once. @throws database_export_damaged database_newer */
export async function checkExport(file: FileHandle): Promise<CheckedExport> {
  const hash = createHash('sha256');
  let header: ExportHeader | undefined;
  let rows = 0;
  let end: { readonly rows: number; readonly sha256: string } | undefined;
  for await (const line of readLines(file)) {
    if (end !== undefined) throw damaged('something follows its last line');
    if (header === undefined) header = parseHeader(line);
    else if (line.startsWith('{"rows":')) {
      end = parseJson(line) as typeof end;
      continue;
    } else if (line.startsWith(ROW_START)) rows += 1;
    hash.update(line).update('\n');
  }
  if (header === undefined) throw damaged('it is empty');
  if (end === undefined) throw damaged(`it ends after ${rows} rows without its last line`);
  if (end.rows !== rows || end.sha256 !== hash.digest('hex')) throw damaged('its checksum does not fit');
  return { header, rows };
}

/** What lies between the first and the last line; for an export that was checked. */
export async function* readEntries(file: FileHandle): AsyncGenerator<ExportEntry> {
  let isHeader = true;
  for await (const line of readLines(file)) {
    if (line.startsWith(ROW_START)) yield { kind: 'row', json: line.slice(ROW_START.length, -1) };
    else if (!isHeader && line.startsWith('{"table":'))
      yield { kind: 'table', ...(parseJson(line) as { table: string }) };
    isHeader = false;
  }
}

function parseHeader(line: string): ExportHeader {
  const header = parseJson(line) as Partial<Omit<ExportHeader, 'format_version'>> & {
    readonly format_version?: number;
  };
  if (header.format !== formatName) throw damaged('it does not begin like an export of Holdfast');
  if ((header.format_version ?? 0) > formatVersion) {
    throw new HoldfastError(
      'database_newer',
      `The export has format ${header.format_version}; this program reads ${formatVersion}.`,
    );
  }
  if (!Number.isSafeInteger(header.step) || !Array.isArray(header.tables)) throw damaged('its first line is not whole');
  return header as ExportHeader;
}

function parseJson(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // told below
  }
  throw damaged('a line is no JSON document');
}

export function damaged(how: string): HoldfastError {
  return new HoldfastError('database_export_damaged', `The export cannot be imported: ${how}.`);
}

const BLOCK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** Each line up to its newline; what follows the last newline is cut off by definition. */
async function* readLines(file: FileHandle): AsyncGenerator<string> {
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  let pieces: Buffer[] = [];
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(block, 0, BLOCK_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const filled = block.subarray(0, bytesRead);
    let start = 0;
    for (let end = filled.indexOf(NEWLINE); end !== -1; end = filled.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...pieces, filled.subarray(start, end)]).toString('utf8');
      pieces = [];
      start = end + 1;
    }
    if (start < bytesRead) pieces.push(Buffer.from(filled.subarray(start)));
  }
  if (pieces.length > 0) throw damaged('its last line is cut off');
}

/** docs/errors.md, made from the error catalogue. */
import { type ErrorEntry, errorCatalogue } from '../../packages/base/errors/catalogue.ts';

export const errorPagePath = 'docs/errors.md';

export function renderErrorPage(): string {
  const entries = Object.entries<ErrorEntry>(errorCatalogue).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `# Error codes

Generated from \`packages/base/errors/catalogue.ts\` by \`scripts/generate-error-docs.ts\`; do not edit.

A problem carries its code; codes are stable, so scripts may rely on them. *Again*: whether the same call may succeed
later without a change. *Exit*: exit code of the command line.

| code | meaning | what to do | again | HTTP | exit |
|---|---|---|---|---|---|
${entries.map(renderRow).join('\n')}
`;
}

function renderRow([code, entry]: [string, ErrorEntry]): string {
  const again = entry.retry === 'later' ? 'yes' : 'no';
  const cells = [
    `<a id="${code}"></a>\`${code}\``,
    entry.title,
    entry.remedy,
    again,
    entry.status,
    entry.exitCode ?? 1,
  ];
  return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
}

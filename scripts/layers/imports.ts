/** Finds what a module asks for. Reads text, not syntax: our code is formatted, so imports have few shapes. */

export type ImportSite = {
  readonly specifier: string;
  readonly line: number;
  /** The names in braces; empty for other forms. */
  readonly names: readonly string[];
};

const shapes: readonly RegExp[] = [
  /^\s*(?:import|export)\s[^'";]*?\bfrom\s*'([^']+)'/gm,
  /^\s*import\s*'([^']+)'/gm,
  /\bimport\(\s*'([^']+)'\s*\)/g,
  /\bimport\.meta\.resolve\(\s*'([^']+)'\s*\)/g,
  /\bnew URL\(\s*'([^']+)',\s*import\.meta\.url\s*\)/g,
];

/** Static, dynamic and type imports, re-exports, and files named relative to the module (workers). */
export function importSites(source: string): readonly ImportSite[] {
  const code = withoutComments(source);
  const found = shapes.flatMap((shape) =>
    [...code.matchAll(shape)].map((match) => ({
      specifier: match[1]!,
      names: namesInBraces(match[0]),
      line: code.slice(0, match.index + match[0].length).split('\n').length,
    })),
  );
  return found.toSorted((a, b) => a.line - b.line);
}

function namesInBraces(clause: string): readonly string[] {
  const inside = /\{([^}]*)\}/.exec(clause)?.[1] ?? '';
  return inside.split(',').flatMap((part) => /^\s*(?:type\s+)?(\w+)/.exec(part)?.[1] ?? []);
}

/** Blanks comments that stand on lines of their own or after code; keeps every line where it is. */
export function withoutComments(source: string): string {
  return source
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

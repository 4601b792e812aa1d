/** Definitions as they are met in the field, and a way to compare what they mean. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Element } from '@xmldom/xmldom';
import { childrenOf, parseDomainDocument } from './document.ts';

export const sampleNames = ['windows-vtpm', 'ceph', 'passthrough', 'live-chain'] as const;

export function sample(name: (typeof sampleNames)[number]): string {
  return readFileSync(join(import.meta.dirname, 'samples', `${name}.xml`), 'utf8');
}

/** One line for every element, attribute and text, named by its path: what XML means, whatever its quotes and spaces. */
export function meaning(xml: string): readonly string[] {
  const lines: string[] = [];
  const visit = (element: Element, path: string): void => {
    lines.push(path);
    for (const { name, value } of [...element.attributes].toSorted((a, b) => a.name.localeCompare(b.name))) {
      lines.push(`${path} @${name}=${value}`);
    }
    const children = childrenOf(element);
    if (children.length === 0 && element.textContent) lines.push(`${path} "${element.textContent}"`);
    const seen = new Map<string, number>();
    for (const child of children) {
      const number = (seen.get(child.nodeName) ?? 0) + 1;
      seen.set(child.nodeName, number);
      visit(child, `${path}/${child.nodeName}${number}`);
    }
  };
  visit(parseDomainDocument(xml).domain, 'domain');
  return lines;
}

/** What of `after` is not in `before`, with +, and the other way round, with -. */
export function difference(before: string, after: string): readonly string[] {
  const [old, fresh] = [meaning(before), meaning(after)];
  return [
    ...old.filter((line) => !fresh.includes(line)).map((line) => `- ${line}`),
    ...fresh.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
  ];
}

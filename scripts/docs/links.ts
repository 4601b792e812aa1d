/** Finds links in our pages that lead nowhere. Only links inside the repository are looked at; nothing is fetched. */
import { existsSync, globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** `file: link` for each relative Markdown link whose file, or whose heading in that file, is not there. */
export async function brokenLinks({ root }: { readonly root: string }): Promise<readonly string[]> {
  const broken: string[] = [];
  for (const page of globSync(['*.md', 'docs/**/*.md'], { cwd: root }).toSorted()) {
    const text = await readFile(join(root, page), 'utf8');
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (link !== undefined && !(await leadsSomewhere({ root, page, link }))) broken.push(`${page}: ${link}`);
    }
  }
  return broken;
}

type Link = { readonly root: string; readonly page: string; readonly link: string };

async function leadsSomewhere({ root, page, link }: Link): Promise<boolean> {
  if (/^[a-z]+:/.test(link)) return true;
  const [path = '', heading] = link.split('#');
  const target = path === '' ? join(root, page) : join(root, dirname(page), path);
  if (!existsSync(target)) return false;
  if (heading === undefined) return true;
  const text = await readFile(target, 'utf8');
  return (
    text.includes(`<a id="${heading}">`) ||
    [...text.matchAll(/^#+ (.*)$/gm)].some(([, title]) => anchor(title!) === heading)
  );
}

/** As GitHub and others make it from a heading. */
function anchor(title: string): string {
  const words = title.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '');
  return words.replaceAll(' ', '-');
}

/** Links in the documents lead somewhere: to a file that is there, and to a heading that it has. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...['docs', 'spec', 'examples'].flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.md'))
      .map(name => join(folder, name)),
  ),
];

describe('links', () => {
  it('are found on many pages', () => {
    expect(pages.flatMap(linksOf).length).toBeGreaterThan(100);
  });

  it.each(pages)('of %s lead to what is there', page => {
    expect(linksOf(page).filter(link => !leads(page, link))).toEqual([]);
  });

  it('would be caught if they led nowhere', () => {
    expect(leads('README.md', 'docs/no-such-page.md')).toBe(false);
    expect(leads('README.md', 'docs/architecture.md#no-such-heading')).toBe(false);
    expect(leads('README.md', 'docs/architecture.md#the-rooms')).toBe(true);
  });
});

/** Targets of inline links, without those of the web. */
function linksOf(page: string): string[] {
  const prose = textOf(page).replaceAll(/^```[^]*?^```$|`[^`\n]*`/gmu, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/gu)]
    .map(([, target]) => target)
    .filter(target => !/^[a-z]+:/.test(target));
}

function leads(page: string, link: string): boolean {
  const [path, heading] = link.split('#');
  const target = path === '' ? page : relative(root, join(root, dirname(page), path));
  if (!existsSync(join(root, target))) return false;
  if (heading === undefined) return true;
  return statSync(join(root, target)).isFile() && headingsOf(target).includes(heading);
}

/** As they are turned into anchors. */
function headingsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gmu)].map(([, words]) =>
    words
      .toLowerCase()
      .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, '')
      .replaceAll(/\s/gu, '-'),
  );
}

function textOf(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

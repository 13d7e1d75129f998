/** The spec and the generated documents as they stand in the tree. */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { renderAbiBlock, renderAbiDocument } from '../../src/abi/markdown.js';
import { parseSpec } from '../../src/conformance/requirements.js';
import type { SourceFile } from '../../src/conformance/requirements.js';
import { fillBlocks, renderQpTable } from '../../src/conformance/spec-documents.js';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const files: readonly SourceFile[] = readdirSync(new URL('spec/', root))
  .filter(name => name.endsWith('.md'))
  .map(name => ({ path: `spec/${name}`, text: read(`spec/${name}`) }));
const chapters = files.filter(({ path }) => /^spec\/\d\d-/.test(path));

describe('the spec', () => {
  it('has no malformed obligation, no id twice or out of order, and no reference to an id that is not there', () => {
    expect(parseSpec(files).problems).toEqual([]);
  });

  it('has fifteen chapters, each with obligations under one prefix', () => {
    const { requirements } = parseSpec(chapters);
    const prefixes = chapters.map(({ path }) => [
      ...new Set(requirements.filter(requirement => requirement.path === path).map(({ chapter }) => chapter)),
    ]);
    expect(prefixes).toEqual(
      'OVR FEAT CONF VQ CTRL QP DATA CQ MEM ERR ORD RST ISO HOST PERF'.split(' ').map(prefix => [prefix]),
    );
  });

  it('lists every chapter in its README', () => {
    const readme = read('spec/README.md');
    for (const { path } of chapters) expect(readme).toContain(`(${path.slice('spec/'.length)})`);
  });

  it('has no link to a file that is not there', () => {
    const names = new Set(files.map(({ path }) => path.slice('spec/'.length)));
    for (const { path, text } of files) {
      for (const [, target] of text.matchAll(/\]\(([^)#:/]+\.md)/g)) expect(names, path).toContain(target);
    }
  });

  it('says near every strict obligation how else it could be read', () => {
    for (const { path, text } of chapters) {
      if (!text.includes('{strict}')) continue;
      expect(text, path).toMatch(/lenient/);
    }
  });

  it('answers every question of the public record, with obligations that exist or the word none', () => {
    const answers = read('spec/open-questions.md');
    const asked = [
      ...Array.from({ length: 75 }, (_, i) => `Q-${String(i + 1).padStart(2, '0')}`),
      ...Array.from({ length: 7 }, (_, i) => `A-0${i + 1}`),
    ];
    for (const question of asked) {
      const entry = new RegExp(`^### ${question} [\\s\\S]*?(?=^##|(?![\\s\\S]))`, 'm').exec(answers)?.[0] ?? '';
      expect(entry, question).toMatch(/Carried by (\[[A-Z]|none)/);
    }
    expect(answers.match(/^\| \d+ \|/gm)).toHaveLength(15);
  });
});

describe('generated documents', () => {
  it('docs/abi.md is what the tables say; if not, run npm run generate', () => {
    expect(read('docs/abi.md')).toBe(renderAbiDocument());
  });

  it.each(chapters.map(({ path, text }) => [path, text] as const))(
    '%s has its generated blocks filled from the tables; if not, run npm run generate',
    (_, text) => {
      const filled = fillBlocks(text, (room, kind, name) =>
        room === 'abi' ? renderAbiBlock(kind, name) : kind === 'qp-table' ? renderQpTable() : undefined,
      );
      expect(filled.unknown).toEqual([]);
      expect(filled.text).toBe(text);
    },
  );
});

/** The pages on reports promise commands, options and keys: each must be there. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { catalogue } from '../../src/conformance/cases/index.js';
import { readKnownFailures } from '../../src/cli/known-failures.js';
import { temporaryDirectory, vrdma } from './support.js';

const pages = ['in-your-ci.md', 'reading-a-report.md'].map(name => ({
  name,
  text: readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8'),
}));

for (const { name, text } of pages)
  describe(`docs/${name}`, () => {
    it('uses no command and no option that does not exist', async () => {
      const lines = text
        .replaceAll(/\n +(?=--)/g, ' ')
        .matchAll(/(?:npx )?vrdma (check|merge|diff|replay)\b([^\n`|]*)/g);
      const used = [...lines].map(([, command = '', rest = '']) => ({
        command,
        options: rest.match(/--[a-z-]+/g) ?? [],
      }));
      expect(used.length).toBeGreaterThan(4);
      for (const command of new Set(used.map(each => each.command))) {
        const { out } = await vrdma([command, '--help']);
        const known = new Set(out.match(/--[a-z-]+/g));
        const options = used.filter(each => each.command === command).flatMap(each => each.options);
        expect(options.filter(option => !known.has(option))).toEqual([]);
      }
    });

    it('names no case that does not exist', () => {
      const ids = new Set(catalogue.map(({ id }) => id));
      const named = text.match(/\b[A-Z]{2,5}\/[a-z0-9-]+\/[a-z0-9-]+/g) ?? [];
      expect(named.length).toBeGreaterThan(0);
      expect(named.filter(id => !ids.has(id))).toEqual([]);
    });
  });

it('the example of known failures is one', () => {
  const [, json = ''] = /```json\n(\[.*?\])\n```/s.exec(pages[0].text) ?? [];
  const path = join(temporaryDirectory(), 'known.json');
  writeFileSync(path, json);
  const ids = catalogue.map(({ id }) => id);
  expect(readKnownFailures(path, ids)).toHaveLength(2);
});

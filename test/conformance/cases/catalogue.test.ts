/** The catalogue of cases: names that last, sentences, requirements that exist, and patterns that find them. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  catalogue,
  casesMatching,
  chapterOf,
  chapters,
  unasked,
} from '../../../src/conformance/cases/index.js';
import { laws } from '../../../src/conformance/laws.js';
import { parseSpec } from '../../../src/conformance/requirements.js';
import { machines } from '../../../src/statemachines/index.js';

const specDirectory = new URL('../../../spec/', import.meta.url);
const { requirements } = parseSpec(
  readdirSync(specDirectory)
    .filter(name => name.endsWith('.md'))
    .map(name => ({ path: `spec/${name}`, text: readFileSync(new URL(name, specDirectory), 'utf8') })),
);
const known = new Set(requirements.map(({ id }) => id));

describe('the catalogue', () => {
  it('holds at least 250 cases, each with an id of its own: chapter, subject, what is special', () => {
    expect(catalogue.length).toBeGreaterThanOrEqual(250);
    expect(new Set(catalogue.map(({ id }) => id.toLowerCase())).size).toBe(catalogue.length);
    for (const { id } of catalogue) {
      expect(id).toMatch(/^[A-Z]+(?:\/[a-z0-9-]+){2,}$/);
      expect(chapters).toContain(chapterOf(id));
    }
  });

  it('says in one sentence what is done and what must come of it', () => {
    for (const { id, doc } of catalogue) {
      expect(doc, id).toMatch(/^[0-9A-Za-z[].*\.$/s);
      expect(doc, id).not.toContain('\n');
    }
  });

  it('names requirements that exist, and has a case for every one', () => {
    const shown = new Set<string>();
    for (const { id, requirements: ids } of catalogue) {
      expect(ids.length, id).toBeGreaterThan(0);
      expect(new Set(ids).size, id).toBe(ids.length);
      for (const each of ids) {
        expect(known, `${each} of ${id}`).toContain(each);
        shown.add(each);
      }
    }
    const unshown = requirements.map(({ id }) => id).filter(id => !shown.has(id));
    expect(unshown.toSorted()).toEqual(Object.keys(unasked).toSorted());
  });

  it('has a case for every law and every machine', () => {
    const judged = catalogue.flatMap(({ how }) => (how.kind === 'property' ? [how.law] : []));
    for (const law of Object.values(laws)) if (law !== laws.expected) expect(judged).toContain(law.name);
    for (const { name } of machines) expect(judged).toContain(`machine ${name}`);
  });
});

describe('a pattern', () => {
  it.each([
    ['an id, in any case', 'ctrl/create-cq/zero-depth', /^CTRL\/create-cq\/zero-depth$/, 1],
    ['a star for anything', 'CTRL/create-*/limit', /^CTRL\/create-.*\/limit$/, 2],
    ['a chapter', 'qp', /^QP\//, 50],
    ['a star at the front', '*zero-depth', /zero-depth$/, 1],
  ])('may be %s', (_, pattern, expected, least) => {
    const found = casesMatching(pattern);
    expect(found.length).toBeGreaterThanOrEqual(least);
    for (const { id } of found) expect(id).toMatch(expected);
  });

  it('may be a requirement, which stands for the cases that cite it', () => {
    const found = casesMatching('ctrl-33');
    expect(found.map(({ id }) => id)).toContain('CTRL/create-cq/zero-depth');
    for (const each of found) expect(each.requirements).toContain('CTRL-33');
  });

  it('that names nothing finds nothing, and its dots and brackets are no wild cards', () => {
    expect(casesMatching('CTRL/create.cq/zero-depth')).toEqual([]);
    expect(casesMatching('CTRL/(create-cq)/*')).toEqual([]);
  });
});

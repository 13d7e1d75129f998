/** `docs/ring-observations.md` lists every observation as the kit has it. `WRITE_RING_TABLE=1` renews it. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { observationCases, ringObservations } from '../../src/conformance/ring-watch/index.js';
import { parseSpec } from '../../src/conformance/requirements.js';

const spec = new URL('../../spec/', import.meta.url);
const chapters = readdirSync(spec)
  .filter(name => /^\d\d-.*\.md$/.test(name))
  .map(name => ({ path: `spec/${name}`, text: readFileSync(new URL(name, spec), 'utf8') }));
const document = new URL('../../docs/ring-observations.md', import.meta.url);
const [start, end] = ['<!-- observations -->', '<!-- /observations -->'];

function table(): string {
  const rows = ringObservations.map(({ id, slug, judges, verdict, doc, watched, requirements }) =>
    [id, `\`${slug}\``, judges, verdict, doc, watched, requirements.join(', ')].join(' | '),
  );
  return [
    '| id | name | judges | a breach | what holds | looked at | shows |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map(row => `| ${row} |`),
  ].join('\n');
}

describe('the document of the ring observations', () => {
  it('lists each observation with its id, its words and its requirements', () => {
    const text = readFileSync(document, 'utf8');
    const [head, tail] = [text.slice(0, text.indexOf(start)), text.slice(text.indexOf(end))];
    const renewed = `${head}${start}\n\n${table()}\n\n${tail}`;
    if (process.env.WRITE_RING_TABLE !== undefined) writeFileSync(document, renewed);
    else expect(text).toBe(renewed);
  });

  it('names requirements that exist, and gives each observation an id and a case of its own', () => {
    const known = new Set(parseSpec(chapters).requirements.map(({ id }) => id));
    for (const { requirements } of observationCases) {
      expect(requirements.length).toBeGreaterThan(0);
      for (const id of requirements) expect(known).toContain(id);
    }
    expect(ringObservations.map(({ id }) => id)).toEqual(
      ringObservations.map((_, i) => `RING-${String(i + 1).padStart(2, '0')}`),
    );
    const ids = observationCases.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

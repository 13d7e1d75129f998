/** Every obligation that a machine cites stands in the specification. */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { machines } from '../../src/statemachines/index.js';

const chapters = new URL('../../spec/', import.meta.url);
const known = new Set(
  readdirSync(chapters)
    .filter(name => /^[0-9]{2}-.*\.md$/.test(name))
    .flatMap(name => [...readFileSync(new URL(name, chapters), 'utf8').matchAll(/^- \[([A-Z]+-[0-9]+)\]/gm)])
    .map(match => match[1]),
);

describe('the obligations that machines cite', () => {
  it('are read from a specification that has some', () => {
    expect(known.size).toBeGreaterThan(100);
    expect(known).toContain('QP-24');
    // In two parts: in one it would be taken for a citation.
    expect(known).not.toContain(['QP', '999'].join('-'));
  });

  it.each(machines)('stand in the specification, for $name', machine => {
    const cited = [
      ...machine.transitions.map(rule => rule.requirement),
      ...machine.forbidden.map(rule => rule.requirement),
      ...(machine.endRequirement === undefined ? [] : [machine.endRequirement]),
    ];
    expect([...new Set(cited)].filter(id => !known.has(id))).toEqual([]);
  });
});

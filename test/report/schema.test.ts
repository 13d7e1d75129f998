import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readReports, ReportError, reportSchemaText } from '../../src/report/index.js';
import { finding, oneCase, reportWith, sampleReport } from './sample.js';

const text = (document: unknown) => JSON.stringify(document);

function errorOf(document: unknown): ReportError {
  try {
    readReports(typeof document === 'string' ? document : text(document), 'a.json');
  } catch (error) {
    if (error instanceof ReportError) return error;
    throw error;
  }
  throw new Error('it was read');
}

describe('a report file', () => {
  it('comes back as it was written', () => {
    const report = { ...sampleReport({ cases: 60, notPassed: 50 }), findings: [finding()] };
    expect(readReports(text(report), 'a.json')).toEqual([report]);
  });

  it('of merged runs gives all of them', () => {
    const runs = [sampleReport({ cases: 3 }), sampleReport({ cases: 4, name: 'other' })];
    expect(readReports(text({ version: 2, runs }), 'a.json')).toEqual(runs);
  });

  it('may hold members that this kit does not know, and keeps them', () => {
    const report = { ...reportWith({ cases: [oneCase()] }), host: 'a newer member' };
    expect(readReports(text(report), 'a.json')).toEqual([report]);
  });

  it('that is broken is told by its place in the document', () => {
    const good = reportWith({ cases: [oneCase(), oneCase()] });
    const bad = { ...good, cases: [good.cases[0], { ...good.cases[1], grade: 'great' }] };
    expect(errorOf(bad)).toMatchObject({ path: 'cases[1].grade' });
    expect(errorOf({ version: 2, runs: [good, bad] })).toMatchObject({ path: 'runs[1].cases[1].grade' });
    expect(errorOf({ version: 2, runs: {} })).toMatchObject({ path: 'runs' });
    const program = { ...finding().program, actions: [{ op: 'fly', vm: 0 }] };
    expect(errorOf({ ...good, findings: [finding({ program: program as never })] })).toMatchObject({
      path: 'findings[0].program.actions[0].op',
    });
  });

  it('of a newer version, of an older one, or of no report at all is refused in one line', () => {
    const messages = [
      { ...reportWith({}), version: 3 },
      { version: 1 },
      { a: 1 },
      [],
      '{"version": 2',
      'null',
    ]
      // Versions of Node word it differently.
      .map(document => errorOf(document).message.replace(/not JSON \(.*?\);/, 'not JSON (…);'))
      .join('\n');
    expect(messages.split('\n')).toHaveLength(6);
    expect(messages).toMatchInlineSnapshot(`
      "a.json: version: it is 3, and this vrdma reads 2: a newer vrdma wrote it; update this one
      a.json: version: it is 1, and this vrdma reads 2: run the check again to renew it
      a.json: version: found nothing; expected a report of \`vrdma check --json\` or \`vrdma merge\`
      a.json: it holds an array; expected a report of \`vrdma check --json\` or \`vrdma merge\`
      a.json: it is not JSON (…); expected a report of \`vrdma check --json\` or \`vrdma merge\`
      a.json: it holds null; expected a report of \`vrdma check --json\` or \`vrdma merge\`"
    `);
  });
});

it('docs/report.schema.json is what the schema says', () => {
  const file = readFileSync(new URL('../../docs/report.schema.json', import.meta.url), 'utf8');
  expect(file === reportSchemaText(), 'stale: run npm run generate').toBe(true);
});

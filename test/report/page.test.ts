import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { htmlReport } from '../../src/report/index.js';
import { finding, hostile, oneCase, reportWith, sampleReport } from './sample.js';

const byteLength = (text: string) => Buffer.byteLength(text, 'utf8');

/** The details that the page carries. */
function dataOf(html: string): unknown {
  const [, json = ''] = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html) ?? [];
  return JSON.parse(json);
}

describe('a page of 1,000 cases in 3 runs', () => {
  const runs = (notPassed: number) =>
    [1, 2, 3].map(seed => sampleReport({ cases: 1000, name: `driver-${seed}`, seed, notPassed }));

  it('stays below 3 MB with one case in ten not passed', () => {
    expect(byteLength(htmlReport(runs(10)))).toBeLessThan(3_000_000);
  });

  it('stays below 3 MB when none passed, by leaving out the details of the last and saying so', () => {
    const html = htmlReport(runs(100));
    expect(byteLength(html)).toBeLessThan(3_000_000);
    expect(html).toContain('"cut":true');
  });
});

it('asks for no other file: no address, no import, only its own script and style by their hashes', () => {
  const html = htmlReport([sampleReport({ cases: 20 })]);
  const addresses = html.replaceAll('http://www.w3.org/2000/svg', '');
  expect(/(?:src|href)="(?!data:,)|https?:|url\(|@import|import\(/.exec(addresses)?.[0]).toBeUndefined();
  const [, script = ''] = /<script>(.*?)<\/script>/s.exec(html) ?? [];
  const [, style = ''] = /<style>(.*?)<\/style>/s.exec(html) ?? [];
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const [, policy = ''] = /Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
  expect(policy).toContain(`script-src ${hash(script)};`);
  expect(policy).toContain(`style-src ${hash(style)};`);
  expect(policy).toMatch(/^default-src 'none';/);
});

it('what an implementation says is text in the markup, whatever it is', () => {
  const html = htmlReport([
    reportWith({
      implementation: { name: hostile, driver: hostile, device: hostile },
      kit: hostile,
      verdict: 'fail',
      reason: hostile,
      requirements: { 'CTRL-07': hostile, [hostile]: hostile },
      coverage: [{ name: hostile, counts: { [hostile]: 1 } }],
      findings: [
        finding({ law: `${hostile} too`, message: `${hostile} once more`, requirements: [hostile] }),
      ],
      cases: [
        oneCase({
          id: `${hostile}/${hostile}`,
          doc: hostile,
          grade: 'fail',
          message: hostile,
          law: hostile,
          known: hostile,
          requirements: [hostile],
          rings: [hostile],
          steps: [{ timeNs: 0, from: hostile, to: hostile, text: hostile }],
        }),
      ],
    }),
  ]);
  // Its own two scripts and the data; the hostile ones would make it more.
  expect(html.match(/<script/g)).toHaveLength(2);
  expect(html.match(/<\/script/g)).toHaveLength(2);
  expect(html).not.toMatch(/<img|<[^>]*\sonerror="/);
  expect(html).not.toMatch(/(?!\n)[\p{Cc}\p{Cs}\u202e]/u);
});

it('a quotation mark ends no attribute', () => {
  const breaking = `x" onmouseover="window.owned=1' y='`;
  const html = htmlReport([
    reportWith({
      implementation: { name: breaking },
      cases: [oneCase({ id: `${breaking}/a/b`, grade: 'fail', message: breaking })],
    }),
  ]);
  expect(html).toContain('x&quot; onmouseover=&quot;');
  expect(html.slice(0, html.indexOf('id="data"'))).not.toMatch(/" onmouseover|' y=/);
});

it('holds what repeats once', () => {
  const program = finding().program;
  const cases = Array.from({ length: 50 }, (_, at) => oneCase({ id: `QP/a/${at}`, grade: 'fail', program }));
  expect(dataOf(htmlReport([reportWith({ cases })]))).toMatchObject({ programs: { length: 1 } });
});

it('a run has a column and a case a row, also where other runs lack it', () => {
  const html = htmlReport([
    reportWith({ cases: [oneCase({ id: 'QP/a/both' }), oneCase({ id: 'QP/a/first' })] }),
    reportWith({
      profile: 'rdma',
      cases: [oneCase({ id: 'QP/a/both', grade: 'fail' }), oneCase({ id: 'CQ/a/b' })],
    }),
  ]);
  const rows = [...html.matchAll(/<code>([^<]*)<\/code><span>[^<]*<\/span><\/th>(.*?)<\/tr>/g)].map(
    ([, id, cells = '']) => [id, ...[...cells.matchAll(/class="(\w+)"/g)].map(([, grade]) => grade)],
  );
  expect(rows).toEqual([
    ['QP/a/both', 'pass', 'fail'],
    ['QP/a/first', 'pass', 'none'],
    ['CQ/a/b', 'none', 'pass'],
  ]);
  expect(html).toMatch(/<th[^>]*>bundled, roce<\/th><th[^>]*>bundled, rdma<\/th>/);
});

it('a case whose id comes twice in a run has two rows', () => {
  const html = htmlReport([reportWith({ cases: [oneCase({ grade: 'fail' }), oneCase()] })]);
  expect(html.match(/<code>CTRL\/create-cq\/zero-depth( #2)?<\/code><span>/g)).toHaveLength(2);
});

it('a law that only generated programs broke has a row, and one that a failed case tells has none', () => {
  const broken = finding();
  const page = (law: string) =>
    htmlReport([reportWith({ findings: [broken], cases: [oneCase({ grade: 'fail', law })] })]);
  expect(page('another law')).toContain('<code>LAWS/no wake-up is lost</code>');
  expect(page(broken.law)).not.toContain('LAWS/');
});

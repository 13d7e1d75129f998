/** The page as a person uses it, in Chromium. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Page } from 'playwright-core';
import { parseProgram } from '../../src/conformance/replay.js';
import { htmlReport } from '../../src/report/index.js';
import { chromiumPath, Reader, sayThatThereIsNone, type Opened } from './chromium.js';
import { finding, hostile, oneCase, reportWith, sampleReport } from './sample.js';

if (chromiumPath === undefined) sayThatThereIsNone('the HTML report in a browser');

/** What an expression of the page's own world gives. */
async function evaluated<T>(page: Page, expression: string): Promise<T> {
  return page.evaluate<T>(expression);
}

describe.skipIf(chromiumPath === undefined)('the report page in Chromium', () => {
  let reader: Reader;
  let address: string;
  const runsOf = (cases: number) =>
    [1, 2, 3].map(seed => sampleReport({ cases, name: `driver-${seed}`, seed, notPassed: seed * 8 }));
  const runs = runsOf(210);

  beforeAll(async () => {
    reader = await Reader.start(chromiumPath ?? '');
    address = reader.file(htmlReport(runs));
  });
  afterAll(() => reader.stop());

  /** Closes the window after the test body. */
  async function reading(
    test: (opened: Opened) => Promise<void>,
    where = address,
    options: Parameters<Reader['open']>[1] = {},
  ): Promise<void> {
    const opened = await reader.open(where, options);
    await test(opened);
    expect(opened.complaints).toEqual([]);
    expect(opened.requests.filter(url => !url.startsWith('file:') && !url.startsWith('data:'))).toEqual([]);
    await opened.page.context().close();
  }

  /** Case and column of the cell that has the focus, else the id of what has it. */
  const focused = (page: Page) =>
    evaluated<string>(
      page,
      `(() => {
        const cell = document.activeElement.closest('#matrix tr > *');
        if (cell === null) return document.activeElement.id;
        const row = cell.closest('tr');
        return row.querySelector('code').textContent + ' ' + [...row.cells].indexOf(cell);
      })()`,
    );
  const paper = (page: Page) => evaluated<string>(page, 'getComputedStyle(document.body).backgroundColor');
  const shown = (page: Page) => page.locator('#matrix tbody tr:not(.chapter):not([hidden])').count();

  it('opens 1,000 cases in 3 runs with bounded work, and says how long it took', async () => {
    await reading(
      async ({ page }) => {
        const figures = await evaluated<{ elements: number; readyMs: number; scriptMs: number }>(
          page,
          `({
          elements: document.querySelectorAll('*').length,
          readyMs: performance.getEntriesByName('vrdma:ready')[0].startTime,
          scriptMs: performance.getEntriesByName('vrdma')[0].duration,
        })`,
        );
        process.stderr.write(
          `page of 1,000 cases x 3 runs: ready after ${figures.readyMs.toFixed(0)} ms, ${figures.scriptMs.toFixed(0)} ms of them its script, ${figures.elements} elements\n`,
        );
        // A case is a row, a head with two parts and three cells; the list for paper ends at 200 failures of four elements.
        // Nothing is made for what is not open.
        expect(figures.elements).toBeLessThan(1000 * 7 + 200 * 4 + 400);
      },
      reader.file(htmlReport(runsOf(1000))),
    );
  });

  it('is walked with the arrow keys, and only one cell is a stop of the tabulator', async () => {
    await reading(async ({ page }) => {
      const [first, second] = runs[0].cases;
      expect(await page.locator('#matrix [tabindex="0"]').count()).toBe(1);
      await page.locator('#matrix [tabindex="0"]').focus();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowRight');
      expect(await focused(page)).toBe(`${second.id} 2`);
      await page.keyboard.press('Home');
      expect(await focused(page)).toBe(`${second.id} 0`);
      await page.keyboard.press('Control+End');
      expect(await focused(page)).toBe(`${runs[0].cases[209].id} 3`);
      await page.keyboard.press('ArrowDown');
      expect(await focused(page)).toBe(`${runs[0].cases[209].id} 3`);
      await page.keyboard.press('Control+Home');
      expect(await focused(page)).toBe(`${first.id} 0`);
      expect(await page.locator('#matrix [tabindex="0"]').count()).toBe(1);
    });
  });

  it('opens a cell with Enter, goes from one that did not pass to the next, and gives the focus back with Esc', async () => {
    await reading(async ({ page }) => {
      await page.locator('#matrix [tabindex="0"]').focus();
      await page.keyboard.press('n');
      const place = await focused(page);
      await page.keyboard.press('Enter');
      const drawer = page.locator('#drawer');
      expect(await drawer.locator('h2').textContent()).toBe(place?.split(' ')[0]);
      expect(await focused(page)).toBe('drawer-title');
      const run = drawer.locator('[aria-pressed="true"]');
      const opened = async () => `${await drawer.locator('h2').textContent()} ${await run.textContent()}`;
      const first = await opened();
      await page.keyboard.press('n');
      expect(await opened()).not.toBe(first);
      expect(await run.textContent()).not.toMatch(/: (pass|skipped|unsupported|–)$/);
      await page.keyboard.press('p');
      expect(await opened()).toBe(first);
      await page.keyboard.press('Escape');
      expect(await drawer.isVisible()).toBe(false);
      expect(await focused(page)).toBe(place);
    });
  });

  it('shows requirement, program, chart and rings of a failure, and saves the program as one that replays', async () => {
    await reading(async ({ page }) => {
      const failed = runs[2].cases.find(({ grade }) => grade === 'fail');
      if (failed?.program === undefined) throw new Error('the sample has no failure');
      await page.locator(`#matrix tr:has(code:text-is("${failed.id}")) td`).nth(2).click();
      const drawer = page.locator('#drawer');
      expect(await drawer.locator('.message').textContent()).toBe(failed.message);
      expect(await drawer.locator('.requirements dt').allTextContents()).toEqual(failed.requirements);
      expect(await drawer.locator('.requirements dd').first().textContent()).toBe(
        runs[2].requirements[failed.requirements[0]],
      );
      expect(await drawer.locator('ol.script li').count()).toBe(failed.program.actions.length);
      expect(await drawer.locator('svg.chart .arrow, svg.chart .note').count()).toBe(failed.steps?.length);
      expect(await drawer.locator('pre').first().textContent()).toBe(failed.rings?.join('\n'));
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        drawer.getByRole('button', { name: 'Save program' }).click(),
      ]);
      const saved = readFileSync(await download.path(), 'utf8');
      expect(parseProgram(saved, download.suggestedFilename())).toEqual(failed.program);
    });
  });

  it('filters by grade, chapter and party, and says how many are left', async () => {
    await reading(async ({ page }) => {
      const ids = (of: (grades: readonly string[], at: number) => boolean) =>
        runs[0].cases.filter((_, at) =>
          of(
            runs.map(run => run.cases[at].grade),
            at,
          ),
        ).length;
      await page.getByRole('button', { name: /^fail \d/ }).click();
      expect(await shown(page)).toBe(ids(grades => grades.includes('fail')));
      await page.getByRole('button', { name: 'device', exact: true }).click();
      const expected = ids((grades, at) => grades.includes('fail') && runs[0].cases[at].judges === 'device');
      expect(await shown(page)).toBe(expected);
      expect(await page.getByRole('status').textContent()).toBe(`${expected} of 210 cases`);
      await page.getByRole('button', { name: /^fail \d/ }).click();
      await page.getByRole('button', { name: 'device', exact: true }).click();
      await page.getByRole('button', { name: 'runs differ' }).click();
      expect(await shown(page)).toBe(ids(grades => grades.some(grade => grade !== grades[0])));
      await page.getByRole('button', { name: /^VQ \d/ }).click();
      expect(await page.locator('#matrix tbody:not([hidden])').count()).toBe(1);
    });
  });

  it('searches ids, descriptions, requirements and messages from the keyboard', async () => {
    await reading(async ({ page }) => {
      await page.keyboard.press('/');
      expect(await focused(page)).toBe('search');
      await page.keyboard.type('wr_flush_err CQ7');
      const message = 'of cq7 came as WR_FLUSH_ERR';
      const told = runs[0].cases.filter((_, at) =>
        runs.some(run => run.cases[at].message?.includes(message)),
      ).length;
      await expect.poll(() => shown(page)).toBe(told);
      await page.keyboard.press('ArrowDown');
      expect(await focused(page)).toMatch(/ 1$/);
      await page.keyboard.press('/');
      await page.keyboard.press('Escape');
      expect(await shown(page)).toBe(210);
      await page.locator('#search').fill('nothing is called like this');
      await expect.poll(() => page.locator('#nothing').isVisible()).toBe(true);
      await page.getByRole('button', { name: 'Clear search and filters' }).click();
      expect(await shown(page)).toBe(210);
    });
  });

  it('has an address for each cell', async () => {
    const { id } = runs[0].cases[150];
    await reading(
      async ({ page }) => {
        expect(await page.locator('#drawer h2').textContent()).toBe(id);
        expect(await page.locator('#drawer [aria-pressed="true"]').textContent()).toMatch(/^driver-2: /);
        await evaluated(page, `location.hash = '#case=no/such/case&run=1'`);
        await page.keyboard.press('Escape');
        // What the page itself says: the browser tells Playwright of it a little later.
        expect(await evaluated(page, 'location.href')).toBe(address);
      },
      `${address}#case=${encodeURIComponent(id)}&run=2`,
    );
  });

  it('runs nothing that an implementation says, in the page or in the drawer', async () => {
    const evil = reportWith({
      implementation: { name: hostile, driver: hostile },
      verdict: 'fail',
      reason: hostile,
      requirements: { [hostile]: hostile },
      findings: [finding({ law: hostile, message: `${hostile} once more` })],
      cases: [
        oneCase({
          id: `CTRL/${hostile}`,
          doc: hostile,
          grade: 'fail',
          message: hostile,
          requirements: [hostile],
          rings: [hostile],
          steps: [{ timeNs: 0, from: hostile, to: 'b', text: hostile }],
        }),
      ],
    });
    await reading(
      async ({ page }) => {
        for (const at of [0, 1]) {
          await page.keyboard.press('Escape');
          await page.locator('#matrix td').nth(at).click();
          expect(await page.locator('#drawer .message').textContent()).toContain(
            '</script><script>window.owned=1',
          );
        }
        expect(await evaluated(page, `'owned' in window`)).toBe(false);
        expect(await page.locator('img').count()).toBe(0);
      },
      reader.file(htmlReport([evil])),
    );
  });

  it('is dark where the system is, until it is told otherwise', async () => {
    await reading(
      async ({ page }) => {
        const dark = await paper(page);
        await page.locator('#theme').click();
        expect(await paper(page)).toBe(dark);
        await page.locator('#theme').click();
        expect(await paper(page)).toBe('rgb(251, 251, 250)');
        expect(dark).not.toBe('rgb(251, 251, 250)');
      },
      address,
      { colorScheme: 'dark' },
    );
  });

  it('prints the matrix with its failures told, or the opened case alone, dark ink on white', async () => {
    await reading(
      async ({ page }) => {
        await page.emulateMedia({ media: 'print' });
        expect(await page.locator('#tools').isVisible()).toBe(false);
        expect(await page.locator('.failures').isVisible()).toBe(true);
        expect(await paper(page)).toBe('rgb(255, 255, 255)');
        expect(await evaluated(page, `getComputedStyle(document.querySelector('#matrix')).display`)).toBe(
          'table',
        );
        await page.emulateMedia({ media: 'screen' });
        await page.locator('#matrix td.fail').first().click();
        await page.emulateMedia({ media: 'print' });
        expect(await page.locator('#matrix').isVisible()).toBe(false);
        expect(await page.locator('#drawer').isVisible()).toBe(true);
      },
      address,
      { colorScheme: 'dark' },
    );
  });

  it('without a script is a table of grades and a list of failures', async () => {
    await reading(
      async ({ page }) => {
        expect(await page.locator('#matrix td').count()).toBe(630);
        expect(await page.locator('.failures li').count()).toBeGreaterThan(10);
        expect(await page.locator('.failures').isVisible()).toBe(true);
        expect(await page.locator('#tools').isVisible()).toBe(false);
      },
      address,
      { javaScriptEnabled: false },
    );
  });

  it('tells a screen reader what it is: a grid with row and column heads, named groups, a dialog', async () => {
    await reading(async ({ page }) => {
      expect(await page.getByRole('grid').count()).toBe(1);
      expect(await page.getByRole('columnheader').allTextContents()).toEqual([
        'case',
        'driver-1',
        'driver-2',
        'driver-3',
      ]);
      for (const name of ['grade', 'judges', 'chapter'])
        expect(await page.getByRole('group', { name }).count()).toBe(1);
      await page.locator('#matrix td.fail').first().click();
      const name = await page.locator('#drawer h2').textContent();
      expect(await page.getByRole('dialog', { name: name ?? '' }).count()).toBe(1);
    });
  });
});

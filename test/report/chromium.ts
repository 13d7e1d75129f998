/** A real browser for the tests of the page: Debian's Chromium or another that is installed. Nothing is downloaded. */
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Path of the browser: the environment variable CHROMIUM, or the first on PATH; undefined when there is none. */
export const chromiumPath: string | undefined = findChromium();

/** Says so where everybody sees it: a page that no browser has opened is not tested. */
export function sayThatThereIsNone(what: string): void {
  process.stderr.write(
    `\n*** SKIPPED: ${what}: no Chromium, neither where CHROMIUM points nor on PATH (${names.join(', ')}). ***\n` +
      '*** apt-get install chromium, or set CHROMIUM to the path of one. ***\n\n',
  );
}

function findChromium(): string | undefined {
  const wanted = process.env['CHROMIUM'];
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const candidates = wanted ? [wanted] : names.flatMap(name => folders.map(folder => join(folder, name)));
  return candidates.find(path => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A browser, and the files that it opens. */
export class Reader {
  readonly #browser: Browser;
  readonly #folder = mkdtempSync(join(tmpdir(), 'vrdma-page-'));
  #files = 0;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(executablePath: string): Promise<Reader> {
    // Containers and CI machines run it as root, where its sandbox cannot be had.
    return new Reader(await chromium.launch({ executablePath, args: ['--no-sandbox'] }));
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Writes the page into a file; its address. */
  file(html: string): string {
    const path = join(this.#folder, `${this.#files++}.html`);
    writeFileSync(path, html);
    return pathToFileURL(path).href;
  }

  /** Opens an address in a window of its own and notes what the page complains of and asks the network for. */
  async open(address: string, options: BrowserContextOptions = {}): Promise<Opened> {
    const context = await this.#browser.newContext({ viewport: { width: 1300, height: 800 }, ...options });
    const page = await context.newPage();
    const complaints: string[] = [];
    const requests: string[] = [];
    page.on('console', message => complaints.push(message.text()));
    page.on('pageerror', error => complaints.push(error.message));
    page.on('request', request => requests.push(request.url()));
    await page.goto(address);
    return { page, complaints, requests };
  }
}

export interface Opened {
  readonly page: Page;
  readonly complaints: readonly string[];
  readonly requests: readonly string[];
}

/**
 * The page for newcomers is run as it stands, in a project of its own: files are written, commands are run, and what the page
 * shows is compared with what they print. In a fence, `js NAME` and `json NAME` are files, `sh run` commands (with `exit=1`
 * when they end so), and `text printed` what the commands before it print; numbers and spaces are masked, `…` stands for
 * lines left out.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../cli/support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Fence {
  /** What stands behind the three backticks, in words. */
  readonly info: readonly string[];
  readonly text: string;
}

it('docs/validate-your-driver.md does what it says', () => {
  const project = newProject();
  let printed: string[] = [];
  let ran = 0;
  for (const { info, text } of fencesOf('docs/validate-your-driver.md')) {
    const [language, what = '', exit = 'exit=0'] = info;
    if (/^(?:js|json)$/.test(language) && what !== '') writeFileSync(join(project, what), text);
    else if (language === 'sh' && what === 'run') {
      printed = text
        .trimEnd()
        .split('\n')
        .flatMap(command => run(command, exit, project));
      ran++;
    } else if (what === 'printed') expectShown(text.trimEnd().split('\n'), printed);
  }
  expect(ran).toBeGreaterThanOrEqual(8);
}, 900_000);

/** As `npm install ../vrdma` leaves it. */
function newProject(): string {
  const project = temporaryDirectory();
  writeFileSync(join(project, 'package.json'), '{ "name": "mine", "type": "module" }');
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(root, join(project, 'node_modules/vrdma'));
  return project;
}

function fencesOf(page: string): Fence[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```(\S.*)\n([^]*?)^```$/gmu)].map(([, info, body]) => ({
    info: info.split(' '),
    text: body,
  }));
}

/** The lines that a command prints. It must end as the page says. */
function run(command: string, exit: string, project: string): string[] {
  const [npx, vrdma, ...args] = wordsOf(command);
  expect([npx, vrdma]).toEqual(['npx', 'vrdma']);
  const main = join(project, 'node_modules/vrdma/dist/cli/main.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  expect(`exit=${status}`, `${command}\n${stdout}\n${stderr}`).toBe(exit);
  return stdout.trimEnd().split('\n');
}

/** As a shell takes a command apart; single quotes are all that the page needs. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|\S+/gu)].map(([word, quoted]) => quoted ?? word);
}

/** What is shown is what was printed, but for lines that `…` stands for. */
function expectShown(shown: readonly string[], printed: readonly string[]): void {
  const masked = printed.map(mask);
  let at = 0;
  let anywhere = false;
  for (const line of shown) {
    if (line === '…') {
      anywhere = true;
      continue;
    }
    const found = anywhere ? masked.indexOf(mask(line), at) : at;
    expect(
      masked[found],
      `expected the line\n${line}\nin what is left of\n${printed.slice(at).join('\n')}`,
    ).toBe(mask(line));
    at = found + 1;
    anywhere = false;
  }
  if (!anywhere) expect(printed.slice(at)).toEqual([]);
}

/** Numbers, units of time and the width of columns differ from run to run. */
function mask(line: string): string {
  return line
    .replaceAll(/\d[\d,.]*( min \d+ s| m?s\b)?/gu, '#')
    .replaceAll(/\s+/gu, ' ')
    .trim();
}

/** The built command line with the real kit, as a process of its own. */
import { spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { fixture, program, temporaryDirectory, type Result } from './support.js';

const executable = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const examples = fileURLToPath(new URL('../../examples/tiny-driver/', import.meta.url));

/** Runs vrdma; SIGINT is sent when standard error matches. */
async function vrdma(argv: readonly string[], interruptAfter?: RegExp): Promise<Result> {
  const child = spawn(process.execPath, [executable, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const printed = { out: '', err: '' };
  child.stdout.on('data', chunk => (printed.out += String(chunk)));
  child.stderr.on('data', chunk => {
    printed.err += String(chunk);
    if (interruptAfter?.test(printed.err) !== true) return;
    interruptAfter = undefined;
    child.kill('SIGINT');
  });
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) =>
      signal === null ? resolve(status ?? -1) : reject(new Error(`ended by ${signal}`)),
    );
  });
  return { code, ...printed };
}

async function check(options: readonly string[]) {
  const directory = temporaryDirectory();
  const { code, out } = await vrdma(['check', '--json', '--quiet', '--out', directory, ...options]);
  const report = JSON.parse(out) as CheckReport;
  return { code, report, files: readdirSync(directory).map(name => join(directory, name)) };
}

describe('the examples of docs/validate-your-driver.md', () => {
  it('a driver behind the factory is judged and conforms', async () => {
    // Everything is asked of it, in steps, by test/docs/validate-your-driver.test.ts.
    const budget = ['--seed', '1', '--runs', '40', '--suite', 'settled,racing'];
    const { code, report } = await check([...budget, '--driver', `${examples}wrapper.js`]);
    expect(report.findings.map(({ law, message }) => `${law}: ${message}`)).toEqual([]);
    expect(report.programs).toBeGreaterThanOrEqual(40);
    expect(code).toBe(0);
  });

  it('its forgetful twin is caught, and the saved program shows it again, byte for byte', async () => {
    const driver = ['--driver', `${examples}faulty-wrapper.js`];
    const budget = ['--seed', '1', '--runs', '200', '--suite', 'settled'];
    const { code, report, files } = await check([...budget, ...driver]);
    expect(code).toBe(1);
    const [finding] = report.findings;
    expect(finding.program.actions.some(({ op }) => op === 'deregMr')).toBe(true);
    const [file] = files;
    const again = await vrdma(['replay', file, ...driver]);
    expect(again.code).toBe(1);
    expect(again.out).toContain(`BROKEN  ${finding.law}`);
    expect(await vrdma(['replay', file, ...driver])).toEqual(again);
    expect((await vrdma(['replay', file])).code).toBe(0);
  });
});

it('a driver that blocks inside a verb is ended, and the program that did it is saved', async () => {
  const driver = ['--driver', fixture('blocks-in-post.mjs'), '--hang-timeout', '3s'];
  const { code, report, files } = await check(['--seed', '1', '--suite', 'racing', ...driver]);
  expect(code).toBe(1);
  expect(report.findings[0].message).toContain('no sign of life for 3.');
  const again = await vrdma(['replay', files[0], ...driver]);
  expect(again.err).toContain('no sign of life for 3.');
  expect(again.code).toBe(1);
});

it('an interrupt ends a check with a summary of what was done', async () => {
  const { code, out, err } = await vrdma(['check', '--time', '5m', '--suite', 'racing'], /programs?/);
  expect(err).toContain('stopping after the program at hand');
  expect(out).toMatch(/STOPPED {2}no law broken so far|NOT CONFORMANT/);
  expect(out).toMatch(/seed \d+/);
  expect([1, 3]).toContain(code);
});

describe('a program file that cannot be used ends with 2 and says where', () => {
  const text = JSON.stringify(program);
  const edited = (change: object) => JSON.stringify({ ...program, ...change });
  it.each([
    ['truncated', text.slice(0, -20), 'is not JSON'],
    ['empty', '', 'is not JSON'],
    ['of another kind', '[1, 2]', 'is not a verbs program'],
    ['of a newer version', edited({ version: 2 }), 'version 2; this kit reads up to version 1'],
    ['with an unknown member', edited({ speed: 9 }), 'speed'],
    ['with an unknown action', edited({ actions: [{ op: 'fly', vm: 0 }] }), 'actions[0].op'],
    ['with a bad handle', edited({ actions: [{ op: 'createPd', vm: 0, as: 'PD' }] }), 'actions[0].as'],
    ['with a machine too many', edited({ actions: [{ op: 'createPd', vm: 3, as: 'pd0' }] }), 'actions[0].vm'],
    ['without its hosts', edited({ hosts: undefined }), 'hosts'],
  ])('%s', async (_, content, message) => {
    const file = join(temporaryDirectory(), 'program.json');
    writeFileSync(file, content);
    const { code, err, out } = await vrdma(['replay', file]);
    expect(err).toContain(message);
    expect(err).toContain(file);
    expect(err.split('\n').length).toBeLessThan(8);
    expect(out).toBe('');
    expect(code).toBe(2);
  });
});

it('the spec that ships is readable, and its requirements can be looked up', async () => {
  // In parts: looking an obligation up does not check it.
  const { code, out } = await vrdma(['spec', ['OVR', '01'].join('-')]);
  expect(code).toBe(0);
  expect(out).toMatch(/^OVR-01 {2}spec\/01-overview\.md:\d+\n {2}The de/);
});

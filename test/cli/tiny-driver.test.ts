/**
 * A driver that was written from the specification alone, in another style than the bundled one, conforms; the same with one
 * fault does not. What the kit demands is therefore in the spec, and not only in the bundled driver.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { temporaryDirectory } from './support.js';

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));

/** Judges an example in a process of its own, as a user does: its `vrdma/abi` is the built package. */
async function check(example: string, ...options: readonly string[]): Promise<CheckReport> {
  const driver = path(`examples/tiny-driver/${example}`);
  const argv = ['check', '--json', '--quiet', '--out', temporaryDirectory(), '--driver', driver, ...options];
  const child = spawn(process.execPath, [path('dist/cli/main.js'), ...argv], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let printed = '';
  child.stdout.on('data', chunk => (printed += String(chunk)));
  await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  return JSON.parse(printed) as CheckReport;
}

const wordsOf = ({ findings }: CheckReport): string[] =>
  findings.map(({ suite, law, message }) => `${suite}: ${law}: ${message}`);

it.each([
  ['roce', ['settled', 'racing', 'scenarios', 'bounds', 'leaks']],
  ['rdma', ['settled', 'racing']],
])('the tiny driver conforms, profile %s, suites %j', async (profile, suites) => {
  const budget = ['--suite', suites.join(','), '--seed', '1', '--runs', '60'];
  const report = await check('tiny-driver.js', '--profile', profile, ...budget);
  expect(wordsOf(report)).toEqual([]);
  expect(report.programs).toBeGreaterThanOrEqual(60);
  expect(report.verdict).toBe('pass');
});

it('[CQ-46] [CQ-38] a tiny driver that arms for solicited completions only is caught by a short program', async () => {
  const report = await check('faulty-tiny-driver.js', '--suite', 'racing', '--seed', '1', '--runs', '200');
  const [finding] = report.findings;
  expect(finding.law).toBe('no wake-up is lost');
  expect(finding.actions).toBeLessThanOrEqual(12);
  expect(finding.program.actions.some(({ op }) => op === 'waitCq')).toBe(true);
});

/**
 * A device that was written from the specification alone, with other choices than the bundled one wherever there is a choice,
 * conforms. What the kit demands of a device is therefore in the spec, and what it does not demand may differ.
 */
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { temporaryDirectory } from './support.js';

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));
const folder = path('examples/minimal-device');

/** Judges the device in a process of its own, as a user does. */
async function check(...options: readonly string[]): Promise<CheckReport> {
  const device = `${folder}/minimal-device.js`;
  const argv = ['check', '--json', '--quiet', '--out', temporaryDirectory(), '--device', device, ...options];
  const child = spawn(process.execPath, [path('dist/cli/main.js'), ...argv], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let printed = '';
  child.stdout.on('data', chunk => (printed += String(chunk)));
  await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  return JSON.parse(printed) as CheckReport;
}

it.each([
  ['roce', ['settled', 'racing', 'scenarios', 'bounds']],
  ['rdma', ['settled', 'racing']],
])('the minimal device conforms, profile %s, suites %j', async (profile, suites) => {
  const budget = ['--suite', suites.join(','), '--seed', '1', '--runs', '40'];
  const report = await check('--profile', profile, ...budget);
  expect(report.findings.map(({ suite, law, message }) => `${suite}: ${law}: ${message}`)).toEqual([]);
  expect(report.programs).toBeGreaterThanOrEqual(40);
  expect(report.verdict).toBe('pass');
});

describe('the source of the minimal device', () => {
  const names = readdirSync(folder).filter(name => name.endsWith('.js'));
  const texts = names.map(name => readFileSync(`${folder}/${name}`, 'utf8'));

  it('has fewer than 700 lines, comments included', () => {
    const lines = texts.map(text => text.trimEnd().split('\n').length);
    expect(lines.reduce((sum, count) => sum + count, 0)).toBeLessThan(700);
  });

  it('imports nothing but its own parts', () => {
    const code = texts.join('\n').replaceAll(/\/\*\*[^]*?\*\//gu, '');
    const imported = [...code.matchAll(/\b(?:from|import)\s*\(?\s*'([^']*)'/gu)].map(match => match[1]);
    expect(imported.length).toBeGreaterThan(0);
    expect(imported.filter(name => !names.includes(name.replace('./', '')))).toEqual([]);
    expect(code).not.toMatch(/\b(?:require|import)\s*\(/u);
  });
});

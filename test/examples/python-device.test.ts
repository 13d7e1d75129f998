/**
 * The device of examples/python-device, a process of its own with queue pairs, transport and clock of its own, conforms; and each
 * of the faults that can be planted in it is caught.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { readReports } from '../../src/report/index.js';
import { hasPython } from '../agent/support.js';
import { builtKit, temporaryDirectory, vrdma } from '../cli/support.js';
import { skipped } from '../transports/vhost-user/support.js';

const folder = fileURLToPath(new URL('../../examples/python-device', import.meta.url));
const faulty = fileURLToPath(new URL('fixtures/python-device-faults.py', import.meta.url));
/** Only ends what hangs. */
const LIMIT_MS = 900_000;

const runs = skipped === undefined && hasPython;
if (!hasPython) process.stderr.write('test/examples/python-device: skipped: there is no python3\n');

interface Checked {
  readonly code: number;
  readonly report: CheckReport;
  readonly log: string;
}

/** Checks the device that a script starts at a socket. */
async function check(script: string, after: string, ...argv: readonly string[]): Promise<Checked> {
  const directory = temporaryDirectory();
  const [socket, log] = ['device.sock', 'device.log'].map(name => join(directory, name));
  const { code, out, err } = await vrdma(
    [
      'check',
      '--json',
      '--quiet',
      '--seed=1',
      `--out=${directory}`,
      `--device=vhost-user:${socket}`,
      `--device-cmd=exec python3 -B ${script} ${socket} ${after}`,
      `--device-log=${log}`,
      ...argv,
    ],
    {},
    builtKit(),
  );
  expect(out, err).not.toBe('');
  const [report] = readReports(out, 'the output');
  return { code, report, log: existsSync(log) ? readFileSync(log, 'utf8') : '' };
}

const device = join(folder, 'device.py');
const failures = ({ cases, findings }: CheckReport): string[] => [
  ...cases.filter(({ grade }) => grade === 'fail').map(({ id, message }) => `${id}: ${message}`),
  ...findings.map(({ law, message }) => `${law}: ${message}`),
];

describe.skipIf(!runs)('the device in Python', { timeout: LIMIT_MS }, () => {
  it.each([
    ['roce', 'scenarios,bounds,settled,racing', [], 250],
    [
      'roce',
      'probes',
      ['CQ', 'DATA', 'RST', 'ISO', 'ERR/answer', 'CTRL/gid', 'CTRL/modify-qp', 'VQ/enable'],
      75,
    ],
    ['rdma', 'probes,settled,racing', ['FEAT', 'CONF', 'OVR', 'CTRL/query-device'], 20],
  ] as const)('conforms, profile %s, suites %s of %j', async (profile, suites, subjects, passes) => {
    const only = subjects.map(subject => `--only=${subject}/*`);
    const limits = ['--runs=5', `--suite=${suites}`, `--profile=${profile}`];
    const { code, report, log } = await check(device, `--profile ${profile}`, ...limits, ...only);
    expect(failures(report)).toEqual([]);
    expect(report.cases.filter(({ grade }) => grade === 'pass').length).toBeGreaterThanOrEqual(passes);
    expect(log).not.toContain('Traceback');
    expect(code).toBe(0);
  });

  it.each([
    ['wrong-status', 'ERR/send/*', 'ERR-11'],
    ['lost-completion', 'CQ/capacity/exactly-cqe', 'CQ-04'],
    ['short-used-length', 'CTRL/create-pd/*', 'CTRL-02'],
    ['dereg-does-nothing', 'MEM/deregistered/*', 'RST-16'],
  ])('is caught when it has the fault %s', async (fault, only, requirement) => {
    const { code, report } = await check(faulty, fault, '--suite=probes,scenarios', `--only=${only}`);
    const broken = report.cases.filter(({ grade }) => grade === 'fail');
    expect(broken.flatMap(({ requirements }) => requirements)).toContain(requirement);
    expect(report.verdict).toBe('fail');
    expect(code).toBe(1);
  });
});

describe('the source of the device in Python', () => {
  const names = readdirSync(folder).filter(name => name.endsWith('.py'));
  const texts = new Map(names.map(name => [name, readFileSync(join(folder, name), 'utf8')]));

  it('has files of at most 250 lines', () => {
    for (const [name, text] of texts) expect(text.split('\n').length, name).toBeLessThanOrEqual(250);
  });

  it('imports nothing but its own parts and the standard library', () => {
    const standard =
      'argparse bisect collections heapq itertools mmap os select socket struct sys threading time typing'.split(
        ' ',
      );
    const known = [...standard, ...names.map(name => name.replace('.py', ''))];
    const all = [...texts.values()].join('\n');
    const imported = [...all.matchAll(/^(?:from|import) (\w+)/gmu)].map(([, name]) => name);
    expect(imported.length).toBeGreaterThan(10);
    expect(imported.filter(name => !known.includes(name))).toEqual([]);
  });
});

/** The agent of examples/python-agent: it passes, and each of its planted faults is found with a short program. */
import { describe, expect, it } from 'vitest';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { check } from '../../src/conformance/check.js';
import { judge } from '../../src/conformance/judge.js';
import { laws } from '../../src/conformance/laws.js';
import { readReports } from '../../src/report/index.js';
import { builtKit, temporaryDirectory, vrdma } from '../cli/support.js';
import { hasPython, pythonAgent, startAgent } from './support.js';

describe.skipIf(!hasPython)('the agent in Python', () => {
  it('is conformant in what it offers, from the command line', { timeout: 300_000 }, async () => {
    const only = [
      '--only',
      'CTRL/create-cq/*',
      '--only',
      'ERR/write/*',
      '--only',
      'DATA/*',
      '--only',
      'CQ/law/*',
    ];
    const budget = ['--runs', '25', '--seed', '3', '--suite', 'scenarios,settled,racing'];
    const { code, out } = await vrdma(
      [
        'check',
        '--driver-cmd',
        pythonAgent,
        '--json',
        '--quiet',
        '--out',
        temporaryDirectory(),
        ...only,
        ...budget,
      ],
      {},
      builtKit(),
    );
    const [report] = readReports(out, 'the output');
    expect(report.findings.map(({ law, message }) => `${law}: ${message}`)).toEqual([]);
    expect(code).toBe(0);
    const passed = report.cases.filter(({ grade }) => grade === 'pass');
    expect(passed.length).toBeGreaterThan(30);
    const lacking = report.cases.find(
      ({ message }) => message === 'it needs UD, which the agent does not offer',
    );
    expect(lacking?.grade).toBe('unsupported');
  });

  it('is observed as bare metal', { timeout: 300_000 }, async () => {
    const remote = startAgent(pythonAgent);
    for (let seed = 1; seed <= 15; seed++) {
      for (const mode of ['settled', 'racing'] as const) {
        const program = writeProgram(seed, { mode, actionsMax: 80 });
        const { broken } = await judge(program, { profile: 'roce', implementation: { remote } });
        expect(broken, `${mode} program ${seed}`).toBeUndefined();
      }
    }
  });

  it.each([
    ['lost-completion', laws.completesInOrder.name],
    ['swapped-bytes', laws.dataArrives.name],
    ['wrong-length', laws.dataArrives.name],
    ['early-destroy', laws.keepsUsed.name],
    ['crash', laws.neverCrashes.name],
  ])('with %s planted breaks a law, shown by a short program', { timeout: 600_000 }, async (fault, law) => {
    const remote = startAgent(`${pythonAgent} --fault ${fault}`);
    const report = await check({
      remote,
      profile: 'roce',
      seed: 1,
      suites: ['settled'],
      runs: 200,
      actionsMax: 60,
      shrinkRunsMax: 400,
      nowMs: () => 0,
      onProgress() {},
      shouldStop: () => false,
    });
    const [finding] = report.findings;
    expect(finding?.law).toBe(law);
    expect(finding.actions).toBeLessThan(25);
  });
});

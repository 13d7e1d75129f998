/** A case that hangs or kills the implementation fails, and a fresh worker asks the rest. */
import { describe, expect, it } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { readReports } from '../../src/report/index.js';
import { builtKit, fixture, temporaryDirectory, vrdma } from './support.js';

async function check(...argv: string[]): Promise<{ code: number; report: CheckReport; notes: string }> {
  const options = ['check', '--json', '--out', temporaryDirectory(), ...argv];
  const { code, out, err } = await vrdma(options, {}, builtKit());
  const [report] = readReports(out, 'the output');
  return { code, report, notes: err };
}

describe('an implementation that a single case stops', () => {
  it.each([
    ['blocks', 'it blocks: no sign of life', 'an implementation answers'],
    ['exits', 'it ended its thread with process.exit(7)', 'an implementation answers'],
  ])('%s: that case fails, and the others are asked all the same', async (how, message, law) => {
    process.env.VRDMA_FIXTURE = how;
    const cases = ['CTRL/create-pd/and-destroy', 'CTRL/create-cq/no-entries', 'CTRL/create-cq/too-deep'];
    const { code, report, notes } = await check(
      `--only=${cases.join(',')}`,
      '--hang-timeout=2s',
      '--seed=1',
      `--driver=${fixture('stops-at-no-entries.mjs')}`,
    );
    const gradeOf = (wanted: string) => report.cases.find(({ id }) => id === wanted)?.grade;
    const asked = report.cases.filter(({ grade }) => grade !== 'skipped');
    expect(cases.map(gradeOf)).toEqual(['pass', 'fail', 'pass']);
    expect(asked).toHaveLength(cases.length);
    const failed = asked.find(({ grade }) => grade === 'fail');
    expect(failed).toMatchObject({ law, requirements: ['HOST-01', 'HOST-34'] });
    expect(failed?.message).toContain(message);
    expect(report.verdict).toBe('fail');
    expect(code).toBe(1);
    expect(notes).toContain('starting the implementation again');
    // The program that stopped it is saved like that of any other finding.
    expect(report.findings.map(({ program }) => program.name)).toEqual(['CTRL/create-cq/no-entries']);
  });
});

/** A case that hangs or kills the implementation fails, and a fresh worker asks the rest. */
import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { CheckReport } from '../../src/conformance/report.js';
import { readReports } from '../../src/report/index.js';
import { builtKit, fixture, temporaryDirectory, vrdma, type Terminal } from './support.js';

interface Checked {
  readonly code: number;
  readonly report: CheckReport;
  readonly notes: string;
  /** Programs that were saved. */
  readonly saved: readonly string[];
}

async function check(argv: readonly string[], terminal: Terminal = {}): Promise<Checked> {
  const directory = temporaryDirectory();
  const { code, out, err } = await vrdma(
    ['check', '--json', '--out', directory, ...argv],
    terminal,
    builtKit(),
  );
  const [report] = readReports(out, 'the output');
  return { code, report, notes: err, saved: readdirSync(directory) };
}

/** The driver that two of the cases stop or fail on, told how by `how`. */
function stopping(how: string, cases: readonly string[], hangTimeout: string): readonly string[] {
  process.env.VRDMA_FIXTURE = how;
  return [
    `--only=${cases.join(',')}`,
    `--hang-timeout=${hangTimeout}`,
    '--seed=1',
    `--driver=${fixture('stops-at-no-entries.mjs')}`,
  ];
}

afterEach(() => void delete process.env.VRDMA_FIXTURE);

describe('an implementation that a single case stops', () => {
  it.each([
    ['blocks', 'it blocks: no sign of life', 'an implementation answers'],
    ['exits', 'it ended its thread with process.exit(7)', 'an implementation answers'],
  ])('%s: that case fails, and the others are asked all the same', async (how, message, law) => {
    const cases = ['CTRL/create-pd/and-destroy', 'CTRL/create-cq/no-entries', 'CTRL/create-cq/too-deep'];
    const { code, report, notes } = await check(stopping(how, cases, '2s'));
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

describe('what was found before', () => {
  const cases = ['CTRL/create-cq/depths', 'CTRL/create-cq/no-entries'];

  it('stays found, with its program, when a later case ends the worker', async () => {
    const { code, report, saved } = await check(stopping('fails, exits', cases, '1m'));
    expect(report.findings.map(({ program }) => program.name)).toEqual(cases);
    expect(report.findings[0].message).toContain('one entry is too few');
    expect(saved).toHaveLength(2);
    expect(code).toBe(1);
  });

  it('stays found when the check is stopped at once', async () => {
    const terminal = { tty: true, interruptAfter: / 50%/, interrupts: 2 };
    const { code, report, saved } = await check(stopping('fails, blocks', cases, '1m'), terminal);
    expect(report.findings.map(({ program }) => program.name)).toEqual(cases.slice(0, 1));
    expect(report.cases.map(({ id, grade }) => [id, grade])).toEqual([[cases[0], 'fail']]);
    expect(report).toMatchObject({ verdict: 'fail', interrupted: true });
    expect(saved).toHaveLength(1);
    expect(code).toBe(1);
  });
});

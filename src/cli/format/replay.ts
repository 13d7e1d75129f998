/** A replayed program step by step: each action with the sequence chart of what it caused. */
import { match } from 'ts-pattern';
import type { Program } from '../../conformance/program.js';
import type { ReplayReport } from '../engine.js';
import { sequenceChart } from './chart.js';
import { actionLine } from '../../conformance/index.js';
import { partiesOf } from '../../report/index.js';
import { plural, type Colours } from './text.js';

export function stepsText(
  program: Program,
  report: Pick<ReplayReport, 'steps' | 'verdict'>,
  width: number,
  c: Colours,
): string {
  const lanes = partiesOf(report.steps.flatMap(step => step.events));
  const digits = String(Math.max(0, report.steps.length - 1)).length;
  return report.steps
    .flatMap(step => {
      const action = program.actions[step.index];
      const text = action === undefined ? step.text : actionLine(action);
      return [
        c.bold(`${String(step.index).padStart(digits)}  ${text}`),
        ...sequenceChart(step.events, width - 4, lanes).map(line => `    ${line}`),
        '',
      ];
    })
    .join('\n');
}

export function replayVerdict(report: Pick<ReplayReport, 'steps' | 'verdict'>, c: Colours): string {
  const steps = plural(report.steps.length, 'step');
  return match(report.verdict)
    .with('pass', () => `${c.bold(c.green('PASS'))}  no law broken in ${steps}\n`)
    .with('fail', () => `${c.bold(c.red('FAIL'))}  after ${steps}\n`)
    .exhaustive();
}

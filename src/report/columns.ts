/** What a run is called where several stand side by side. */
import type { CheckReport } from '../conformance/report.js';
import { firstLine } from './text.js';

/** One name a run, in their order, each different: its label, and a number where that is not enough. */
export function columnNames(runs: readonly CheckReport[]): readonly string[] {
  const labels = runLabels(runs);
  return labels.map((label, at) => {
    const before = labels.slice(0, at).filter(other => other === label).length;
    return before === 0 ? label : `${label} #${before + 1}`;
  });
}

/** The implementation's name and, of profile, kit and seed, what differs between runs of that name. */
export function runLabels(runs: readonly CheckReport[]): readonly string[] {
  const named = runs.map(run => ({
    name: firstLine(run.implementation.name, 60),
    parts: [run.profile, `kit ${firstLine(run.kit, 30)}`, `seed ${run.seed}`],
  }));
  return named.map(({ name, parts }) => {
    const namesakes = named.filter(other => other.name === name);
    const telling = parts.filter((part, at) => namesakes.some(other => other.parts[at] !== part));
    return [name, ...telling].join(', ');
  });
}

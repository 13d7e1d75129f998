/** What a run is called where several stand side by side. */
import type { CheckReport } from '../conformance/report.js';
import { firstLine } from './text.js';

/**
 * One name a run, in their order, each different: the implementation's, then as far as it is needed the profile, the kit's
 * version, the seed and a number.
 */
export function columnNames(runs: readonly CheckReport[]): readonly string[] {
  const parts = runs.map(run => [
    firstLine(run.implementation.name, 60),
    run.profile,
    ...(run.kit === '' ? [] : [`kit ${firstLine(run.kit, 30)}`]),
    `seed ${run.seed}`,
  ]);
  const names = parts.map(all => {
    for (let length = 1; length <= all.length; length++) {
      const name = all.slice(0, length).join(', ');
      if (parts.filter(other => other.slice(0, length).join(', ') === name).length === 1) return name;
    }
    return all.join(', ');
  });
  return names.map((name, at) => {
    const before = names.slice(0, at).filter(other => other === name).length;
    return before === 0 ? name : `${name} #${before + 1}`;
  });
}

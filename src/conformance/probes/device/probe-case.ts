/** How a device case is written: an id, a sentence, what it shows, and a function that throws when the promise is broken. */
import type { CommandShape } from '../../../abi/index.js';
import type { CaseContext, CaseNeeds, ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';

export interface ProbeText {
  /** `CTRL/create-cq/zero-depth`. */
  readonly id: string;
  /** One sentence: what is done, and what must come of it. */
  readonly doc: string;
  readonly requirements: readonly string[];
  readonly needs?: CaseNeeds;
  /** `derived` when absent: from the sentences of the spec. */
  readonly source?: string;
}

/** A case that puts a bench to the judged device and returns it when the promise was kept. */
export function probe(text: ProbeText, run: (context: CaseContext) => Bench): ConformanceCase {
  const { needs = {}, source = 'derived', ...rest } = text;
  return {
    ...rest,
    source,
    judges: 'device',
    needs,
    how: { kind: 'probe', run: context => Promise.resolve().then(() => run(context).effort) },
  };
}

/** `CREATE_CQ` as it stands in ids. */
export function slug({ name }: Pick<CommandShape<unknown, unknown>, 'name'>): string {
  return name.toLowerCase().replaceAll('_', '-');
}

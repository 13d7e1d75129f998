/** How a case of the wire is written: an id, a sentence, what it shows, and what is done on its bench. */
import type { CaseContext, ConformanceCase } from '../../cases/case.js';
import type { WireBench } from './bench.js';
import type { Service } from './end.js';

export interface WireText {
  /** `DATA/wire/path-mtu`. */
  readonly id: string;
  /** One sentence: what is done, and what must come of it. */
  readonly doc: string;
  readonly requirements: readonly string[];
  /** `['RC']` when absent. */
  readonly services?: readonly Service[];
}

/** A case that returns its benches when the promise was kept. */
export function wireCase(
  { services = ['RC'], ...text }: WireText,
  run: (context: CaseContext) => Promise<WireBench | readonly WireBench[]>,
): ConformanceCase {
  return {
    ...text,
    source: 'derived',
    judges: 'device',
    needs: { services, inside: 'the network of the kit, to see and to make packets' },
    how: {
      kind: 'probe',
      run: async context => {
        const benches = [await run(context)].flat();
        for (const { world } of benches) world.release();
        return {
          runs: benches.length,
          actions: benches.reduce((sum, { effort }) => sum + effort.actions, 0),
        };
      },
    },
  };
}

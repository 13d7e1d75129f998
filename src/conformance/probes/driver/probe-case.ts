/** Makes a conformance case of something that is done on the bench. */
import type { CaseContext, CaseEffort, CaseNeeds, CaseRun, ConformanceCase } from '../../cases/case.js';
import { CaseUnsupported } from '../../cases/case.js';
import { FeatureBit, hasFeature } from '../../../virtio/index.js';
import { Bench } from './bench.js';
import type { BenchOptions } from './bench-options.js';

export interface ProbeCase {
  readonly id: string;
  /** What is done, and what must come of it. */
  readonly doc: string;
  readonly requirements: readonly string[];
  readonly needs?: CaseNeeds;
  /** The bench is built anew for each; one with nothing special where none is named. */
  readonly options?: BenchOptions | readonly BenchOptions[];
  readonly source?: string;
  readonly long?: true;
  /** Asks the driver, which is not started yet. */
  readonly ask: (bench: Bench) => Promise<void>;
}

export function probe({
  id,
  doc,
  requirements,
  needs = {},
  options = {},
  source,
  long,
  ask,
}: ProbeCase): ConformanceCase {
  const variants: readonly BenchOptions[] = [options].flat();
  const run: CaseRun = async context => {
    const effort = { runs: 0, actions: 0 };
    for (const variant of variants) {
      effort.runs++;
      effort.actions += (await onBench(context, requirements, variant, ask)).actions;
    }
    return effort;
  };
  return {
    id,
    doc,
    source: source ?? 'derived',
    requirements,
    judges: 'driver',
    needs,
    ...(long && { long }),
    how: { kind: 'probe', run },
  };
}

/** The same with a driver that has started. */
export function probeStarted(from: ProbeCase): ConformanceCase {
  return probe({
    ...from,
    ask: async bench => {
      await bench.start();
      requireFeatures(bench, from.needs);
      await from.ask(bench);
    },
  });
}

/** Throws CaseUnsupported when the driver did not accept a ring feature that the case is about. */
function requireFeatures(bench: Bench, needs: CaseNeeds | undefined): void {
  const bits = {
    indirect: FeatureBit.INDIRECT_DESC,
    'event-idx': FeatureBit.EVENT_IDX,
    'ring-reset': FeatureBit.RING_RESET,
    packed: FeatureBit.RING_PACKED,
    'in-order': FeatureBit.IN_ORDER,
  };
  for (const feature of needs?.features ?? []) {
    if (!hasFeature(bench.device.accepted, bits[feature]))
      throw new CaseUnsupported(`the driver does not accept ${feature}`);
  }
}

async function onBench(
  context: CaseContext,
  requirements: readonly string[],
  options: BenchOptions,
  ask: (bench: Bench) => Promise<void>,
): Promise<CaseEffort> {
  const bench = new Bench(context, requirements, options);
  try {
    await ask(bench);
    await bench.run();
    bench.finish();
  } catch (error) {
    // A finding on the way explains what went wrong behind it better than that does.
    if (!(error instanceof CaseUnsupported) && bench.findings.length > 0) throw bench.findings[0];
    throw error;
  } finally {
    bench.guest.release();
  }
  return { runs: 1, actions: Math.max(1, bench.actions) };
}

/** Every observation as a conformance case, together with the directed tries to catch a second read. */
import type { ConformanceCase } from '../cases/case.js';
import { doubleFetchCases } from './double-fetch.js';
import { ringFormatCases } from './format-cases.js';
import { ringObservations } from './observations.js';
import type { RingObservation } from './observations.js';

export const observationCases: readonly ConformanceCase[] = [
  ...ringObservations.map(caseOf),
  ...doubleFetchCases,
  ...ringFormatCases,
];

function caseOf({ id, slug, doc, requirements, judges }: RingObservation): ConformanceCase {
  return {
    id: `VQ/ring/${slug}`,
    doc: `In the rings of every generated program: ${doc}`,
    source: 'derived',
    requirements,
    judges,
    needs: {},
    how: { kind: 'observation', observation: id },
  };
}

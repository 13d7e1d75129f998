/** What several faults about the life of objects need. */
import type { SendWorkRequest } from '../../../verbs/index.js';
import { mutant } from '../mutant.js';
import type { Mutant, MutantFacts } from '../mutant.js';

export type Facts = Omit<MutantFacts, 'chapter'> & Partial<MutantFacts>;

export function device(
  name: string,
  facts: Facts,
  doc: string,
  implementation: Mutant['implementation'],
): Mutant {
  return mutant('device', name, { chapter: 'stale state', ...facts }, doc, implementation);
}

export type Send = SendWorkRequest<object & { readonly kind: 'hca-ah' }>;

export function copyOf(request: Send): Send {
  return {
    ...request,
    sges: request.sges.map(sge => ({ ...sge })),
    inlineData: request.inlineData?.slice(),
  };
}

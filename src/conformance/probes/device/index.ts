/** The half of the kit that judges a device by hand-written exchanges: a raw driver, and the cases that it plays. */
import type { ConformanceCase } from '../../cases/case.js';
import { completionQueueRefusals } from './refusals-completion-queues.js';
import { domainRefusals, routeRefusals } from './refusals-domains.js';
import { regionRefusals } from './refusals-regions.js';
import { queuePairRefusals } from './refusals-queue-pairs.js';
import { modifyRefusals } from './refusals-modify-qp.js';
import { modifyTableCases } from './modify-qp-table.js';
import { initialisationCases } from './initialisation.js';
import { configurationCases } from './configuration.js';
import { queueSetUpCases } from './queue-set-up.js';
import { brokenRingCases } from './broken-rings.js';
import { chainCases } from './chains.js';
import { notificationCases } from './notifications.js';
import { malformedRequestCases } from './malformed-requests.js';
import { accessFaultCases } from './access-faults.js';
import { completionCases } from './completions.js';
import { endingCases } from './endings.js';
import { controlFrameCases } from './control-frame.js';

export { Bench, probeLimits } from './bench.js';
export type { BenchOptions } from './bench.js';
export { ProbeMachine } from './machine.js';
export { WatchedMemory } from './watched-memory.js';

/** Cases that ask a device, in the order of the spec's chapters. */
export const deviceCases: readonly ConformanceCase[] = [
  ...initialisationCases,
  ...configurationCases,
  ...queueSetUpCases,
  ...chainCases,
  ...notificationCases,
  ...brokenRingCases,
  ...controlFrameCases,
  ...completionQueueRefusals,
  ...domainRefusals,
  ...regionRefusals,
  ...queuePairRefusals,
  ...routeRefusals,
  ...modifyRefusals,
  ...modifyTableCases,
  ...malformedRequestCases,
  ...completionCases,
  ...accessFaultCases,
  ...endingCases,
];

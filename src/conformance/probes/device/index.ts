/** The half of the kit that judges a device by hand-written exchanges: a raw driver, and the cases that it plays. */
import type { ConformanceCase } from '../../cases/case.js';
import { accessFaultCases } from './access-faults.js';
import { brokenRingCases } from './broken-rings.js';
import { chainCases } from './chains.js';
import { capacityCases } from './completion-capacity.js';
import { completionCases } from './completions.js';
import { configurationCases } from './configuration.js';
import { controlFrameCases } from './control-frame.js';
import { commandEffectCases } from './command-effects.js';
import { oddChainCases } from './odd-chains.js';
import { transferCases } from './transfers.js';
import { eventCases } from './events.js';
import { initialisationCases } from './initialisation.js';
import { liveAndResetCases } from './live-and-reset.js';
import { malformedRequestCases } from './malformed-requests.js';
import { modifyTableCases } from './modify-qp-table.js';
import { notificationCases } from './notifications.js';
import { packedRingCases } from './packed-rings.js';
import { permissionCases } from './permitted.js';
import { queuePairEndingCases } from './queue-pair-endings.js';
import { queuePairCases } from './queue-pairs.js';
import { queueSetUpCases } from './queue-set-up.js';
import { receiveFaultCases } from './receive-faults.js';
import { completionQueueRefusals } from './refusals-completion-queues.js';
import { domainRefusals, routeRefusals } from './refusals-domains.js';
import { modifyRefusals } from './refusals-modify-qp.js';
import { queuePairRefusals } from './refusals-queue-pairs.js';
import { regionRefusals } from './refusals-regions.js';
import { regionCases } from './regions.js';
import { isolationCases, resetCases } from './resets-and-isolation.js';
import { accessCases } from './ring-accesses.js';
import { unusedFieldCases } from './unused-fields.js';
import { foretoldKeyCases } from './foretold-keys.js';

/** Cases that ask a device, in the order of the spec's chapters. */
export const deviceCases: readonly ConformanceCase[] = [
  ...initialisationCases,
  ...liveAndResetCases,
  ...configurationCases,
  ...queueSetUpCases,
  ...chainCases,
  ...accessCases,
  ...notificationCases,
  ...brokenRingCases,
  ...packedRingCases,
  ...oddChainCases,
  ...commandEffectCases,
  ...controlFrameCases,
  ...completionQueueRefusals,
  ...domainRefusals,
  ...regionRefusals,
  ...queuePairRefusals,
  ...routeRefusals,
  ...modifyRefusals,
  ...modifyTableCases,
  ...queuePairCases,
  ...malformedRequestCases,
  ...unusedFieldCases,
  ...eventCases,
  ...capacityCases,
  ...completionCases,
  ...regionCases,
  ...foretoldKeyCases,
  ...transferCases,
  ...accessFaultCases,
  ...receiveFaultCases,
  ...queuePairEndingCases,
  ...resetCases,
  ...isolationCases,
  ...permissionCases,
];

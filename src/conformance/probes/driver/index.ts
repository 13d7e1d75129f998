/** Cases that judge a driver from outside: hand-written devices opposite it. */
import type { ConformanceCase } from '../../cases/case.js';
import { answerCases } from './cases-answers.js';
import { brokenAnswerCases } from './cases-broken-answers.js';
import { brokenCompletionCases } from './cases-broken-completions.js';
import { brokenRingCases } from './cases-broken-rings.js';
import { commandCases } from './cases-commands.js';
import { completionCases } from './cases-completions.js';
import { configurationCases } from './cases-configuration.js';
import { deviceErrorCases } from './cases-device-errors.js';
import { eventCases } from './cases-events.js';
import { featureCases } from './cases-features.js';
import { localErrorCases } from './cases-local-errors.js';
import { memoryCases } from './cases-memory.js';
import { stormCases } from './cases-notification-storms.js';
import { notificationCases } from './cases-notifications.js';
import { packedRingCases } from './cases-packed-rings.js';
import { performanceCases } from './cases-performance.js';
import { pollingCases } from './cases-polling.js';
import { postErrorCases } from './cases-post-errors.js';
import { queuePairCases } from './cases-queue-pairs.js';
import { queueCases } from './cases-queues.js';
import { receiveCases } from './cases-receives.js';
import { requestCases } from './cases-requests.js';
import { resetCases } from './cases-reset.js';
import { stateCases } from './cases-states.js';

/** All of them, by chapter. */
export const driverCases: readonly ConformanceCase[] = [
  ...answerCases,
  ...brokenAnswerCases,
  ...brokenCompletionCases,
  ...brokenRingCases,
  ...commandCases,
  ...completionCases,
  ...configurationCases,
  ...deviceErrorCases,
  ...eventCases,
  ...featureCases,
  ...localErrorCases,
  ...memoryCases,
  ...stormCases,
  ...notificationCases,
  ...packedRingCases,
  ...performanceCases,
  ...pollingCases,
  ...postErrorCases,
  ...queuePairCases,
  ...queueCases,
  ...receiveCases,
  ...requestCases,
  ...resetCases,
  ...stateCases,
];

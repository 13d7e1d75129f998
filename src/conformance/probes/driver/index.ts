/** Cases that judge a driver from outside: hand-written devices opposite it. */
import type { ConformanceCase } from '../../cases/case.js';
import { brokenAnswerCases } from './cases-broken-answers.js';
import { brokenCompletionCases } from './cases-broken-completions.js';
import { commandCases } from './cases-commands.js';
import { completionCases } from './cases-completions.js';
import { configurationCases } from './cases-configuration.js';
import { deviceErrorCases } from './cases-device-errors.js';
import { eventCases } from './cases-events.js';
import { featureCases } from './cases-features.js';
import { localErrorCases } from './cases-local-errors.js';
import { memoryCases } from './cases-memory.js';
import { notificationCases } from './cases-notifications.js';
import { performanceCases } from './cases-performance.js';
import { postErrorCases } from './cases-post-errors.js';
import { queuePairCases } from './cases-queue-pairs.js';
import { queueCases } from './cases-queues.js';
import { requestCases } from './cases-requests.js';
import { resetCases } from './cases-reset.js';

export { Bench } from './bench.js';
export type { BenchOptions } from './bench-options.js';

/** All of them, by chapter. */
export const driverCases: readonly ConformanceCase[] = [
  ...brokenAnswerCases,
  ...brokenCompletionCases,
  ...commandCases,
  ...completionCases,
  ...configurationCases,
  ...deviceErrorCases,
  ...eventCases,
  ...featureCases,
  ...localErrorCases,
  ...memoryCases,
  ...notificationCases,
  ...performanceCases,
  ...postErrorCases,
  ...queuePairCases,
  ...queueCases,
  ...requestCases,
  ...resetCases,
];

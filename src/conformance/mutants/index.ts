/** Drivers, devices, adapters and networks with one deliberate fault each: what the judge is judged by. */
import { commandCheckMutants } from './control/checks.js';
import { commandEffectMutants } from './control/effects.js';
import { commandFrameMutants } from './control/frame.js';
import { completionMutants } from './devices/completions.js';
import { dataPathMutants } from './devices/data-path.js';
import { memoryMutants } from './devices/memory.js';
import { queuePairMutants } from './devices/queue-pairs.js';
import { ringMutants } from './devices/rings.js';
import { brokenDeviceMutants } from './drivers/broken-devices.js';
import { driverFieldMutants } from './drivers/fields.js';
import { driverRingMutants } from './drivers/rings.js';
import { verbsMutants } from './drivers/verbs.js';
import type { Mutant } from './mutant.js';
import { networkMutants } from './network.js';
import { startMutants } from './start.js';

export { detect } from './detect.js';
export type { Catch, DetectOptions, Detection } from './detect.js';
export { mutantChapters } from './mutant.js';
export type { Mutant, MutantChapter, MutantNeeds, MutantPlace } from './mutant.js';

export const mutants: readonly Mutant[] = [
  ...startMutants,
  ...commandCheckMutants,
  ...commandFrameMutants,
  ...commandEffectMutants,
  ...queuePairMutants,
  ...dataPathMutants,
  ...completionMutants,
  ...memoryMutants,
  ...ringMutants,
  ...verbsMutants,
  ...driverFieldMutants,
  ...driverRingMutants,
  ...brokenDeviceMutants,
  ...networkMutants,
];

/** Drivers, devices, adapters and networks with one deliberate fault each: what the judge is judged by. */
import { valueCheckMutants } from './control/checks-of-values.js';
import { numberCheckMutants } from './control/checks-of-numbers.js';
import { commandEffectMutants } from './control/effects.js';
import { commandAnswerMutants } from './control/answers.js';
import { commandFrameMutants } from './control/frame.js';
import { completionFieldMutants } from './devices/completion-fields.js';
import { completionDeliveryMutants } from './devices/completion-delivery.js';
import { handedOnMutants } from './devices/requests-handed-on.js';
import { requestReadingMutants } from './devices/requests-read.js';
import { requestOrderMutants } from './devices/requests-in-order.js';
import { noticeMutants } from './devices/notices.js';
import { lifeMutants } from './devices/numbers.js';
import { stateMutants } from './devices/states.js';
import { regionMemoryMutants } from './devices/region-memory.js';
import { translationMutants } from './devices/translation.js';
import { keyMutants } from './devices/keys.js';
import { limitMutants } from './devices/limits.js';
import { neighbourMutants } from './devices/neighbours.js';
import { attributeMutants } from './devices/attributes.js';
import { transitionMutants } from './devices/transitions.js';
import { flushMutants } from './devices/flushing.js';
import { usedRingMutants } from './devices/used-rings.js';
import { chainMutants } from './devices/chains.js';
import { packedDeviceMutants } from './devices/packed-rings.js';
import { packedBrokenRingMutants } from './devices/packed-broken-rings.js';
import { brokenDeviceMutants } from './drivers/broken-devices.js';
import { commandFieldMutants } from './drivers/command-fields.js';
import { messageFieldMutants } from './drivers/message-fields.js';
import { driverLifeMutants } from './drivers/life.js';
import { notificationMutants } from './drivers/notifications.js';
import { publishingMutants } from './drivers/publishing.js';
import { packedDriverMutants } from './drivers/packed-rings.js';
import { packedBrokenDeviceMutants } from './drivers/packed-broken-devices.js';
import { pollingMutants } from './drivers/polling.js';
import { postingMutants } from './drivers/posting.js';
import { verbErrorMutants } from './drivers/verb-errors.js';
import type { Mutant } from './mutant.js';
import { wireAnswerMutants } from './network/answers.js';
import { packetMutants } from './network/packets.js';
import { adapterMutants } from './network/adapters.js';
import { deviceStatusMutants } from './start/device-status.js';
import { deviceQueueMutants } from './start/device-queues.js';
import { driverStartMutants } from './start/drivers.js';
import { wireMutants } from './wire.js';

export { detect } from './detect.js';
export type { Detection } from './detect.js';
export { mutantChapters } from './mutant.js';
export type { Mutant } from './mutant.js';

/** Every one of them must be caught. */
export const mutants: readonly Mutant[] = [
  ...deviceStatusMutants,
  ...deviceQueueMutants,
  ...driverStartMutants,
  ...valueCheckMutants,
  ...numberCheckMutants,
  ...commandFrameMutants,
  ...commandEffectMutants,
  ...commandAnswerMutants,
  ...attributeMutants,
  ...transitionMutants,
  ...flushMutants,
  ...handedOnMutants,
  ...requestReadingMutants,
  ...requestOrderMutants,
  ...completionFieldMutants,
  ...completionDeliveryMutants,
  ...translationMutants,
  ...keyMutants,
  ...limitMutants,
  ...noticeMutants,
  ...lifeMutants,
  ...stateMutants,
  ...regionMemoryMutants,
  ...neighbourMutants,
  ...usedRingMutants,
  ...chainMutants,
  ...pollingMutants,
  ...postingMutants,
  ...verbErrorMutants,
  ...commandFieldMutants,
  ...messageFieldMutants,
  ...notificationMutants,
  ...publishingMutants,
  ...driverLifeMutants,
  ...brokenDeviceMutants,
  ...packetMutants,
  ...wireAnswerMutants,
  ...adapterMutants,
  ...packedDeviceMutants,
  ...packedDriverMutants,
  ...packedBrokenRingMutants,
  ...packedBrokenDeviceMutants,
  ...wireMutants,
];

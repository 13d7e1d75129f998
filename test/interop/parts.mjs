/** All parts, in the order in which they run. */
import { edk2Guest } from './edk2-guest.mjs';
import { foreignDevice } from './foreign-device.mjs';
import { ipxeGuest } from './ipxe-guest.mjs';
import { linuxGuests } from './linux-guests.mjs';
import { seabiosGuest } from './seabios-guest.mjs';
import { softRoce } from './soft-roce.mjs';
import { testpmdFront } from './testpmd-front.mjs';
import { uBootGuest } from './u-boot-guest.mjs';

/**
 * A part: its name, a sentence, the Debian packages that it needs, `run(part)`, and perhaps
 * `ready()`, which throws Skipped where something else is missing.
 */
export const parts = [
  testpmdFront,
  linuxGuests,
  softRoce,
  ipxeGuest,
  edk2Guest,
  uBootGuest,
  seabiosGuest,
  foreignDevice,
];

/** All parts, in the order in which they run. */
import { foreignDevice } from './foreign-device.mjs';
import { ipxeGuest } from './ipxe-guest.mjs';
import { linuxGuests } from './linux-guests.mjs';
import { softRoce } from './soft-roce.mjs';
import { testpmdFront } from './testpmd-front.mjs';

/**
 * A part: its name, a sentence, the Debian packages that it needs, a time limit in seconds, `run(part)`, and perhaps
 * `ready()`, which throws Skipped where something else is missing.
 */
export const parts = [testpmdFront, linuxGuests, softRoce, ipxeGuest, foreignDevice];

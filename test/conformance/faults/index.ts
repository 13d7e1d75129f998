/** All planted faults. */
import { adapterFaults } from './adapter.js';
import { deviceFaults } from './device.js';
import { driverFaults } from './driver.js';
import type { Fault } from './fault.js';
import { machineFaults } from './machines.js';
import { ringFaults } from './ring.js';
import { transportFaults } from './transport.js';

export type { Fault } from './fault.js';

export const faults: readonly Fault[] = [
  ...driverFaults,
  ...transportFaults,
  ...deviceFaults,
  ...ringFaults,
  ...adapterFaults,
  ...machineFaults,
];

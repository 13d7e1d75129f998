/** The guest driver and its port to an operating system. */
export { RdmaDriver } from './driver.js';
export type { DmaBuffer, GuestOs, Task } from './guest-os.js';
export type { ControlMode, DriverOptions, QueueSizes } from './session.js';

/** The host device: control commands, objects and their limits, address translation, data path, notification. */
export { ROCE_HEADER_BYTES } from './config-space.js';
export type { CommandHandler, CommandTable, PageList } from './command.js';
export { commandHandler } from './command-table.js';
export type { DeviceLimits } from './context.js';
export { UNREADABLE_COMMAND } from './control-queue.js';
export type { DeviceObjects } from './objects.js';
export * from './rdma-device.js';

/** The bundled driver and device, put in place through the same factories as anybody else's. */
import { RdmaDevice } from '../device/index.js';
import { RdmaDriver } from '../driver/index.js';

import type { DeviceFactory, DriverFactory } from './implementation.js';

export const bundledDriver: DriverFactory = async context => {
  const driver = new RdmaDriver(context);
  await driver.start();
  return driver;
};

export const bundledDevice: DeviceFactory = context => new RdmaDevice(context);

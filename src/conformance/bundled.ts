/** The bundled driver and device, put in place through the same factories as anybody else's. */
import { RdmaDevice } from '../device/index.js';
import { RdmaDriver } from '../driver/index.js';
import { FeatureBit, featureSet } from '../virtio/index.js';
import type { DeviceFactory, DriverFactory } from './implementation.js';

export const bundledDriver: DriverFactory = async context => {
  const driver = new RdmaDriver(context);
  await driver.start();
  return driver;
};

export const bundledDevice: DeviceFactory = context => {
  const { ringFeatures, ringObserver, controlObserver, ...rest } = context;
  const bits: number[] = [FeatureBit.RING_RESET];
  if (ringFeatures.indirect) bits.push(FeatureBit.INDIRECT_DESC);
  if (ringFeatures.eventIdx) bits.push(FeatureBit.EVENT_IDX);
  return new RdmaDevice({
    ...rest,
    ringFeatures: featureSet(...bits),
    observers: { ring: ringObserver, control: controlObserver },
  });
};

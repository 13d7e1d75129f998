/** The transport within one process: everything passes through, and what would cost an exit or an interrupt is counted. */
import { expect, it } from 'vitest';
import { connectInProcess } from '../../src/transports/in-process.js';
import { DeviceStatus, FeatureBit, SplitDriverQueue, featureSet } from '../../src/virtio/index.js';
import { BASE, DiaryDevice, ringPlaces } from '../virtio/support.js';

it('passes calls through and counts notifications, interrupts and register accesses', () => {
  const { memory, places } = ringPlaces(2, 4);
  const device = new DiaryDevice(memory);
  const transport = connectInProcess(device);
  const interrupts: (number | 'config')[] = [];
  transport.onInterrupt(source => interrupts.push(source));
  transport.setDriverFeatures(featureSet(FeatureBit.VERSION_1));
  transport.writeStatus(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK);
  const features = { indirect: false, eventIdx: false };
  const queue = new SplitDriverQueue(memory, { index: 1, size: 4, ...places[1] }, features);
  transport.enableQueue(1, 4, places[1]);
  transport.writeStatus(transport.readStatus() | DeviceStatus.DRIVER_OK);
  expect(transport.registerAccesses).toBe(5);
  expect([transport.notifications, transport.queueInterrupts, transport.configInterrupts]).toEqual([0, 0, 0]);

  for (let i = 0; i < 3; i++) {
    queue.begin();
    queue.addReadable(BASE, 1);
    queue.commit(i);
    queue.publish();
    transport.notify(1);
  }
  device.giveUp('test');
  expect(device.diary).toEqual(['driver-ok', 'notify 1', 'notify 1', 'notify 1', 'notify 1']);
  expect(transport.notifications).toBe(3);
  expect([...transport.notificationsByQueue]).toEqual([0, 3, 0, 0]);
  expect(transport.queueInterrupts).toBe(3);
  expect([...transport.interruptsByQueue]).toEqual([0, 3, 0, 0]);
  expect(transport.configInterrupts).toBe(1);
  expect(interrupts).toEqual([1, 1, 1, 'config']);
  expect(transport.registerAccesses).toBe(5);
});

it('loses interrupts that come before there is a handler, and survives them', () => {
  const { memory } = ringPlaces(1, 4);
  const device = new DiaryDevice(memory);
  const transport = connectInProcess(device);
  transport.setDriverFeatures(featureSet(FeatureBit.VERSION_1));
  transport.writeStatus(15);
  device.configure(0, Uint8Array.of(1));
  expect(transport.configInterrupts).toBe(1);
});

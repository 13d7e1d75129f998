import { describe, expect, it } from 'vitest';
import { GuestMemory, SplitDeviceQueue, SplitDriverQueue, layOutSplitRing } from '../../src/virtio/index.js';

describe('a split queue', () => {
  it('carries a message and its answer', () => {
    const memory = new GuestMemory();
    memory.addRegion(0x1_0000, new ArrayBuffer(0x1_0000));
    const config = { index: 3, size: 4, ...layOutSplitRing(0x1_0000, 4) };
    const features = { indirect: true, eventIdx: true };
    const driver = new SplitDriverQueue(memory, config, features, undefined, {
      address: 0x1_1000,
      entriesPerTable: 4,
    });
    const device = new SplitDeviceQueue(memory, config, features);
    const chain = device.newChain();
    const element = { token: 0, written: 0 };
    const bytes = new Uint8Array(16);
    for (let i = 0; i < 200; i++) {
      memory.write(0x1_8000, Uint8Array.of(i, 2, 3), 0, 3);
      driver.begin();
      driver.addReadable(0x1_8000, 1);
      driver.addReadable(0x1_8001, 2);
      driver.addWritable(0x1_9000, 4);
      expect(driver.commit(i, i % 2 === 0)).toBe(true);
      driver.publish();
      expect(device.take(chain)).toBe('chain');
      expect([chain.readableBytes, chain.writableBytes]).toEqual([3, 4]);
      expect(chain.copyReadable(0, bytes, 0, 16)).toBe(3);
      expect([...bytes.subarray(0, 3)]).toEqual([i, 2, 3]);
      expect(chain.writeWritable(0, Uint8Array.of(9, 8), 0, 2)).toBe(2);
      device.putUsed(chain.head, 2);
      expect(driver.takeUsed(element)).toBe(true);
      expect(element).toEqual({ token: i, written: 2 });
      expect(driver.takeUsed(element)).toBe(false);
      expect(device.take(chain)).toBe('empty');
    }
  });
});

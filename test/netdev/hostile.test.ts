/** A driver that breaks rules: it is answered with an error of its own device or a counted drop, and nobody else notices. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LearningSwitch } from '../../src/netdev/index.js';
import { DeviceStatus } from '../../src/virtio/index.js';
import { Machine, between, frameOf } from './support.js';

describe('a hostile driver of a network device', () => {
  it('gets no frame carried that is shorter than its headers or longer than any', () => {
    const machine = new Machine({ memoryBytes: 8 << 20 }).start();
    for (let i = 0; i < 8; i++) machine.post(1526);
    for (const length of [1, 11, 12, 25]) machine.sendPacket(new Uint8Array(length));
    machine.sendPacket(new Uint8Array(12 + 65536 + 14 + 5));
    machine.send(frameOf(14, 1));
    machine.run();
    expect(machine.device.counts).toMatchObject({ malformed: 5, sent: 1 });
    expect(machine.receive()).toHaveLength(1);
    expect(machine.reap()).toBe(6);
  });

  it('gets receive buffers that hold no header back empty', () => {
    const machine = new Machine().start();
    machine.post(11);
    machine.post(1526);
    machine.send(frameOf(60, 1));
    machine.run();
    const element = { token: 0, written: -1 };
    expect(machine.rx[0].takeUsed(element)).toBe(true);
    expect(element.written).toBe(0);
    expect(machine.receive()).toHaveLength(1);
  });

  it('stops its own device with a broken ring, and the neighbour goes on', () => {
    const network = new LearningSwitch();
    const bad = new Machine({ network }).start();
    const [a, b] = [new Machine({ network }).start(), new Machine({ network }).start()];
    for (let i = 0; i < 4; i++) b.post(1526);
    bad.tx[0].begin();
    bad.tx[0].addReadable(0x7fff_0000, 64);
    bad.tx[0].commit(1);
    if (bad.tx[0].publish()) bad.transport.notify(1);
    bad.run();
    expect(bad.transport.readStatus() & DeviceStatus.DEVICE_NEEDS_RESET).not.toBe(0);
    a.send(between(1, 'all', 1));
    a.run();
    expect(b.receive()).toHaveLength(1);
  });

  it('stops its own device, not the sender, with a broken receive ring', () => {
    const network = new LearningSwitch();
    const a = new Machine({ network }).start();
    const bad = new Machine({ network }).start();
    bad.rx[0].begin();
    bad.rx[0].addWritable(0x7fff_0000, 2000);
    bad.rx[0].commit(1);
    bad.rx[0].publish();
    a.send(between(1, 'all', 1));
    a.run();
    expect(bad.device.needsResetReason).toContain('not in guest memory');
    expect(a.device.needsResetReason).toBeUndefined();
    expect(a.reap()).toBe(1);
  });

  it('makes the device do a bounded amount a call, whatever it writes anywhere', () => {
    const word = fc.record({ at: fc.nat(0x4000), value: fc.integer({ min: 0, max: 0xff }) });
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 40 }), fc.boolean(), (words, loops) => {
        const network = new LearningSwitch();
        const machine = new Machine(loops ? {} : { network }).start();
        const other = new Machine({ network }).start();
        for (let i = 0; i < 8; i++) machine.post(400);
        for (let i = 0; i < 8; i++) other.post(1526);
        for (let i = 0; i < 4; i++) machine.send(between(1, 'all', i));
        for (const { at, value } of words) {
          machine.memory.write(0x10_0000 + at, Uint8Array.of(value), 0, 1);
          machine.transport.notify(0);
          machine.transport.notify(1);
          machine.transport.notify(2);
          for (let i = 0; i < 4; i++) machine.device.run();
          expect(() => machine.device.poll()).not.toThrow();
        }
        expect(other.device.needsResetReason).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it('finds a device like new after a reset', () => {
    const machine = new Machine().start();
    machine.post(100);
    machine.send(frameOf(300, 1));
    machine.run();
    machine.transport.writeStatus(0);
    expect(machine.device.run()).toBe(false);
    expect(machine.transport.readStatus()).toBe(0);
  });

  it('may reset one queue of a pair; the other keeps what it was given', () => {
    const machine = new Machine().start();
    machine.post(100);
    machine.send(frameOf(200, 1));
    machine.run();
    machine.transport.resetQueue(1);
    machine.tx[0] = machine.queue(1);
    machine.send(frameOf(60, 2));
    machine.run();
    expect(machine.receive().map(({ frame }) => frame)).toEqual([frameOf(60, 2)]);
  });
});

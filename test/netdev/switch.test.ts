/** Several machines on one switch, and what a device says about itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  LINK_UP,
  LearningSwitch,
  MQ_VQ_PAIRS_SET,
  NetAck,
  NetControlClass,
  NetDevice,
  NetFeature,
  netConfig,
} from '../../src/netdev/index.js';
import { FeatureBit, GuestMemory, featureSet } from '../../src/virtio/index.js';
import { Machine, between } from './support.js';

function machines(count: number, network = new LearningSwitch()): Machine[] {
  return Array.from({ length: count }, () => {
    const machine = new Machine({ network }).start();
    for (let i = 0; i < 16; i++) machine.post(1526);
    return machine;
  });
}

function frames(machine: Machine): Uint8Array[] {
  return machine.receive().map(({ frame }) => frame);
}

describe('a device on a switch', () => {
  it('floods what it does not know, and forwards what it has learned to one port', () => {
    const [a, b, c] = machines(3);
    const asking = between(1, 'all', 1);
    a.send(asking);
    a.run();
    expect(frames(b)).toEqual([asking]);
    expect(frames(c)).toEqual([asking]);
    expect(frames(a)).toEqual([]);
    const answer = between(2, 1, 2);
    b.send(answer);
    b.run();
    expect(frames(a)).toEqual([answer]);
    expect(frames(c)).toEqual([]);
  });

  it('interrupts the receiver once a batch', () => {
    const [a, b] = machines(2);
    for (let i = 0; i < 8; i++) a.send(between(1, 2, i));
    a.run();
    expect(frames(b)).toHaveLength(8);
    expect(b.transport.interruptsByQueue[0]).toBe(1);
  });

  it('follows a station that moves, and forgets a port that is taken out', () => {
    const network = new LearningSwitch();
    const [a, b, c] = machines(3, network);
    b.send(between(9, 'all', 1));
    b.run();
    c.send(between(9, 'all', 2));
    c.run();
    for (const machine of [a, b, c]) frames(machine);
    a.send(between(1, 9, 3));
    a.run();
    expect(frames(b)).toEqual([]);
    expect(frames(c)).toHaveLength(1);
    c.device.close();
    expect(network.ports).toBe(2);
    a.send(between(1, 9, 4));
    a.run();
    expect(frames(b)).toHaveLength(1);
  });

  it('drops what has no buffer, counts it, and keeps the sender going', () => {
    const network = new LearningSwitch();
    const a = new Machine({ network }).start();
    const b = new Machine({ network }).start();
    b.post(1526);
    for (let i = 0; i < 3; i++) a.send(between(1, 2, i));
    a.run();
    expect(a.reap()).toBe(3);
    expect(frames(b)).toHaveLength(1);
    expect(b.device.counts).toMatchObject({ received: 1, noBuffer: 2 });
  });

  it('sends nothing to a device that is not live', () => {
    const network = new LearningSwitch();
    const a = new Machine({ network }).start();
    const b = new Machine({ network });
    a.send(between(1, 2, 1));
    a.run();
    expect(a.reap()).toBe(1);
    expect(b.device.counts.received).toBe(0);
  });

  it('remembers a bounded number of addresses', () => {
    const network = new LearningSwitch();
    const [a, b] = machines(2, network);
    for (let station = 0; station < 5000; station++) {
      const frame = between(1, 2, station);
      frame.set([4, 0, 0, 0, station >>> 8, station & 0xff], 6);
      network.forward(a.device, Uint8Array.of(...new Uint8Array(12), ...frame), 12 + frame.length, 0);
    }
    network.flush();
    expect(network.addresses).toBe(4096);
    frames(b);
    for (let i = 0; i < 16; i++) b.post(1526);
    a.send(between(1, 2, 1));
    a.run();
    expect(frames(b)).toHaveLength(1);
  });

  it('carries every frame to every other machine once and in order, whoever sends what and when', () => {
    const send = fc.record({ from: fc.nat(2), to: fc.nat(3), run: fc.boolean() });
    fc.assert(
      fc.property(fc.array(send, { maxLength: 40 }), sends => {
        const all = machines(3);
        const sent = all.map(() => [] as number[]);
        const expected = new Set<string>();
        const got = new Set<string>();
        const collect = () => {
          for (const machine of all) machine.run();
          all.forEach((machine, place) => {
            for (const frame of frames(machine)) {
              const key = `${frame[11]}>${place + 1}:${frame[14] | (frame[15] << 8)}`;
              expect(got.has(key)).toBe(false);
              if (frame[0] === 255 || frame[5] === place + 1) got.add(key);
              machine.post(1526);
            }
            machine.reap();
          });
        };
        sends.forEach(({ from, to, run }, number) => {
          if (to === from) return;
          const target = to === 3 ? 'all' : to + 1;
          if (all[from].send(between(from + 1, target, number))) {
            sent[from].push(number);
            for (let place = 0; place < 3; place++)
              if (place !== from && (target === 'all' || target === place + 1))
                expected.add(`${from + 1}>${place + 1}:${number}`);
          }
          if (run || number % 8 === 0) collect();
        });
        collect();
        collect();
        expect([...got].toSorted()).toEqual([...expected].toSorted());
      }),
      { numRuns: 100 },
    );
  });
});

describe('what the device says of itself', () => {
  it('offers an address, a link and the features that it has', () => {
    const machine = new Machine({ queuePairs: 4, mtu: 1500 });
    const config = netConfig.decode(machine.transport.readConfig(), 0);
    expect(config).toEqual({
      mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
      status: LINK_UP,
      max_virtqueue_pairs: 4,
      mtu: 1500,
    });
    const { MTU, MAC, MRG_RXBUF, STATUS, CTRL_VQ, MQ } = NetFeature;
    const { VERSION_1, INDIRECT_DESC, EVENT_IDX, RING_RESET, RING_PACKED, IN_ORDER } = FeatureBit;
    expect(machine.transport.deviceFeatures).toBe(
      featureSet(
        MTU,
        MAC,
        MRG_RXBUF,
        STATUS,
        CTRL_VQ,
        MQ,
        VERSION_1,
        INDIRECT_DESC,
        EVENT_IDX,
        RING_RESET,
        RING_PACKED,
        IN_ORDER,
      ),
    );
  });

  it('keeps the control queue behind the first pair for a driver that knows of one', () => {
    const machine = new Machine({ queuePairs: 4, without: featureSet(NetFeature.MQ) });
    machine.control = machine.queue(2);
    machine.transport.writeStatus(machine.transport.readStatus() | 4);
    expect(machine.command([NetControlClass.MQ, MQ_VQ_PAIRS_SET, 1, 0])).toBe(NetAck.ERR);
  });

  it('uses as many pairs as the driver sets, and refuses none, too many and commands that it does not know', () => {
    const network = new LearningSwitch();
    const a = new Machine({ network, queuePairs: 2 }).start(2);
    const b = new Machine({ network, queuePairs: 2 }).start(2);
    for (const pair of [0, 1]) for (let i = 0; i < 8; i++) b.post(1526, [], pair);
    a.send(between(1, 2, 1), [], 1);
    a.run();
    expect(b.receive(0)).toHaveLength(1);
    expect(b.command([NetControlClass.MQ, MQ_VQ_PAIRS_SET, 2, 0])).toBe(NetAck.OK);
    a.send(between(1, 2, 2), [], 1);
    a.run();
    expect(b.receive(1)).toHaveLength(1);
    for (const request of [
      [NetControlClass.MQ, MQ_VQ_PAIRS_SET, 0, 0],
      [NetControlClass.MQ, MQ_VQ_PAIRS_SET, 3, 0],
      [NetControlClass.MQ, 1, 1, 0],
      [0, 0, 1, 0],
      [NetControlClass.MQ],
    ])
      expect(b.command(request)).toBe(NetAck.ERR);
    expect(b.command([NetControlClass.MQ, MQ_VQ_PAIRS_SET, 1, 0], 0)).toBeUndefined();
  });

  it('refuses to be made with what cannot be', () => {
    const memory = new GuestMemory();
    const options = {
      memory,
      mac: new Uint8Array(6),
      ringFeatures: { indirect: false, eventIdx: false },
      wake() {},
    };
    expect(() => new NetDevice({ ...options, queuePairs: 0 })).toThrow('0 queue pairs');
    expect(() => new NetDevice({ ...options, mac: new Uint8Array(5) })).toThrow('5 bytes');
    expect(() => new NetDevice({ ...options, mtu: 67 })).toThrow('MTU of 67');
  });
});

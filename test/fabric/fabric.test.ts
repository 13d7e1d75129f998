import { describe, expect, it } from 'vitest';
import {
  Fabric,
  FaultSource,
  firstChoice,
  noFaults,
  Packet,
  packetOpcodeName,
  PacketOperation,
  PacketTransport,
  Scheduler,
} from '../../src/fabric/index.js';
import type { FaultRates } from '../../src/fabric/index.js';

const GID_A = 'a'.repeat(32);
const GID_B = 'b'.repeat(32);
const SEND_ONLY = PacketTransport.RC | PacketOperation.SEND_ONLY;

function twoPorts(faults: Partial<FaultRates> = {}, faultSeed = 1) {
  const scheduler = new Scheduler(firstChoice);
  const fabric = new Fabric(scheduler, {
    latencyNs: 1000,
    bandwidthBitsPerSecond: 8e9,
    faults: { ...noFaults, ...faults },
    faultSeed,
  });
  const arrived: string[] = [];
  const dropped: string[] = [];
  fabric.observe({
    sent() {},
    delivered() {},
    dropped: (packet, why) => dropped.push(`${packet.psn} ${why}`),
  });
  const receiver = (name: string) => ({
    receive: (packet: Packet) => arrived.push(`${name} ${packet.psn}@${scheduler.nowNs}`),
  });
  const a = fabric.attach(receiver('a'));
  const b = fabric.attach(receiver('b'));
  fabric.claimGid(a, GID_A);
  fabric.claimGid(b, GID_B);
  const send = (psn: number, destinationGid = GID_B, payloadLength = 0): void => {
    const packet = fabric.newPacket();
    Object.assign(packet, { opcode: SEND_ONLY, psn, sourceGid: GID_A, destinationGid, payloadLength });
    packet.transmission = 0;
    fabric.send(a, packet);
  };
  return { scheduler, fabric, a, b, arrived, dropped, send };
}

describe('Fabric', () => {
  it('delivers in order, each packet after its own time on the link and the latency', () => {
    const { scheduler, arrived, send } = twoPorts();
    send(1);
    send(2, GID_B, 100);
    send(3, GID_B, 101);
    scheduler.runUntilQuiet(100);
    // 78 bytes of headers at a byte a nanosecond; payload is padded to four bytes.
    expect(arrived).toEqual(['b 1@1078', 'b 2@1256', 'b 3@1438']);
  });

  it('brings a packet to the own GID back over the same link', () => {
    const { scheduler, arrived, send } = twoPorts();
    send(1, GID_A);
    scheduler.runUntilQuiet(100);
    expect(arrived).toEqual(['a 1@1078']);
  });

  it('lets one port own a GID, until it gives it up', () => {
    const { fabric, a, b } = twoPorts();
    expect(fabric.claimGid(b, GID_A)).toBe(false);
    expect(fabric.claimGid(a, GID_A)).toBe(true);
    fabric.releaseGid(b, GID_A);
    expect(fabric.claimGid(b, GID_A)).toBe(false);
    fabric.releaseGid(a, GID_A);
    expect(fabric.claimGid(b, GID_A)).toBe(true);
  });

  it('looks for the owner of the destination when the packet arrives', () => {
    const { scheduler, fabric, b, arrived, dropped, send } = twoPorts();
    send(1);
    fabric.releaseGid(b, GID_B);
    scheduler.runUntilQuiet(100);
    expect(arrived).toEqual([]);
    expect(dropped).toEqual(['1 nobody owns the destination GID']);
  });

  it('uses a packet again when it has arrived', () => {
    const { scheduler, fabric, send } = twoPorts();
    const first = fabric.newPacket();
    fabric.recycle(first);
    send(1);
    expect(fabric.newPacket()).not.toBe(first);
    scheduler.runUntilQuiet(100);
    expect(fabric.newPacket()).toBe(first);
  });

  it('loses, doubles and delays about as many packets as asked', () => {
    const count = (faults: Partial<FaultRates>): { arrived: string[]; dropped: string[] } => {
      const { scheduler, arrived, dropped, send } = twoPorts(faults);
      for (let psn = 0; psn < 2000; psn++) send(psn);
      scheduler.runUntilQuiet(100_000);
      return { arrived, dropped };
    };
    const lossy = count({ dropPer1024: 256 });
    expect(lossy.dropped.length).toBeGreaterThan(400);
    expect(lossy.dropped.length).toBeLessThan(600);
    expect(lossy.arrived.length + lossy.dropped.length).toBe(2000);
    const doubling = count({ duplicatePer1024: 256 });
    expect(doubling.arrived.length).toBeGreaterThan(2400);
    expect(doubling.arrived.length).toBeLessThan(2600);
    const psns = count({ reorderPer1024: 256 }).arrived.map(text => parseInt(text.slice(2), 10));
    expect(psns.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 2000 }, (_, psn) => psn));
    expect(psns).not.toEqual(psns.toSorted((x, y) => x - y));
  });

  it('decides about a packet by what it is, not by when it is sent', () => {
    const lossesOf = (psns: readonly number[]): string[] => {
      const { scheduler, dropped, send } = twoPorts({ dropPer1024: 300 }, 42);
      for (const psn of psns) send(psn);
      scheduler.runUntilQuiet(10_000);
      return dropped.toSorted();
    };
    const psns = Array.from({ length: 300 }, (_, psn) => psn);
    expect(lossesOf(psns)).toEqual(lossesOf(psns.toReversed()));
    expect(lossesOf(psns).length).toBeGreaterThan(50);
  });
});

describe('FaultSource', () => {
  const packetOf = (transmission: number): Packet => {
    const packet = new Packet(() => {});
    packet.transmission = transmission;
    return packet;
  };

  it('spares a packet from its third transmission on, unless told otherwise', () => {
    const always = { ...noFaults, dropPer1024: 1024 };
    const decisions = (rates: FaultRates) => {
      const source = new FaultSource(rates, 1);
      return [0, 1, 2, 3].map(transmission => source.decide(packetOf(transmission)));
    };
    expect(decisions(always)).toEqual(['drop', 'drop', 'none', 'none']);
    expect(decisions({ ...always, faultyTransmissions: Infinity })).toEqual(['drop', 'drop', 'drop', 'drop']);
    expect(decisions(noFaults)).toEqual(['none', 'none', 'none', 'none']);
  });
});

describe('Packet', () => {
  it('has the length of its headers, its payload and its pad', () => {
    const bytes = (opcode: number, payloadLength = 0): number => {
      const packet = new Packet(() => {});
      packet.opcode = opcode;
      packet.payloadLength = payloadLength;
      return packet.wireBytes - 78;
    };
    const { RC, UD } = PacketTransport;
    expect(bytes(RC | PacketOperation.SEND_ONLY, 5)).toBe(8);
    expect(bytes(RC | PacketOperation.ACKNOWLEDGE)).toBe(4);
    expect(bytes(RC | PacketOperation.WRITE_ONLY_IMM)).toBe(20);
    expect(bytes(RC | PacketOperation.READ_REQUEST)).toBe(16);
    expect(bytes(RC | PacketOperation.READ_RESPONSE_MIDDLE, 256)).toBe(256);
    expect(bytes(UD | PacketOperation.SEND_ONLY_IMM)).toBe(12);
  });

  it('copies every field', () => {
    const one = new Packet(() => {});
    for (const name of Object.keys(one) as (keyof Packet)[])
      if (typeof one[name] === 'number') Object.assign(one, { [name]: 7 });
    Object.assign(one, { sourceGid: GID_A, destinationGid: GID_B, solicited: true, ackRequest: true });
    one.payload.set([1, 2, 3, 4, 5, 6, 7]);
    const other = new Packet(() => {});
    other.copyFrom(one);
    const fields = ({ arrival: _timer, ...rest }: Packet) => rest;
    expect(fields(other)).toEqual(fields(one));
  });

  it('says its opcode in words', () => {
    expect(packetOpcodeName(SEND_ONLY)).toBe('RC SEND_ONLY');
    expect(packetOpcodeName(0x75)).toBe('UD 0x15');
  });
});

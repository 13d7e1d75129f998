/** RoCE v2 frames: bytes and fields are the same thing, and no bytes are too strange to be looked at. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRAME_BYTES_MAX,
  GidNames,
  Packet,
  PacketOperation,
  PacketTransport,
  RoceFrame,
  emitFrame,
  frameFields,
  frameLine,
  knownOpcodes,
  opcodeLayout,
  readFrame,
  wireHeaders,
} from '../../src/fabric/index.js';
import { frameOf, onTheWire, packetArbitrary } from './roce-frames.js';

interface Golden {
  readonly what: string;
  readonly ip: number;
  readonly packet: string;
  readonly icrc: string;
  readonly fields: Record<string, unknown>;
}
const { frames } = JSON.parse(
  readFileSync(new URL('../oracles/roce-frames.json', import.meta.url), 'utf8'),
) as { frames: Golden[] };

const MACS = '02000a00000202000a000001';
const bytesOf = ({ ip, packet, icrc }: Golden): Uint8Array =>
  Uint8Array.from(Buffer.from(`${MACS}${ip === 4 ? '0800' : '86dd'}${packet}${icrc}`, 'hex'));

function read(bytes: Uint8Array): { frame: RoceFrame; packet: Packet } {
  const frame = new RoceFrame();
  const packet = new Packet(() => undefined);
  if (frame.decode(bytes) === 'roce') readFrame(frame, new GidNames(), packet);
  return { frame, packet };
}

describe('a published frame', () => {
  it.each(frames)('[DATA-85] has the fields and the ICRC that stand in the record: $what', golden => {
    const { frame, packet } = read(bytesOf(golden));
    expect(frame.problem).toBe('');
    expect(packet).toMatchObject(golden.fields);
    expect(Buffer.from(Uint32Array.of(frame.icrcExpected).buffer).toString('hex')).toBe(golden.icrc);
    expect(frame.icrc).toBe(frame.icrcExpected);
    expect(frame.padIsZero).toBe(true);
  });

  it.each(frames)(
    '[DATA-84] is emitted byte for byte, but for what the record does not hold: $what',
    golden => {
      const bytes = bytesOf(golden);
      const { packet } = read(bytes);
      const emitted = frameOf(packet);
      const ipAt = 14;
      const udpAt = ipAt + (golden.ip === 4 ? 20 : 40);
      // The source port and the identification, and with it the checksum, are the sender's choice.
      const differs = new Set([udpAt, udpAt + 1, ...(golden.ip === 4 ? [18, 19, 24, 25] : [])]);
      // An address of more than 53 bits is rounded, as in the ABI tables.
      if (packet.virtualAddress > Number.MAX_SAFE_INTEGER) for (let at = 54; at < 62; at++) differs.add(at);
      const icrcAt = bytes.length - 4;
      for (let at = ipAt; at < icrcAt; at++) if (!differs.has(at)) expect(emitted[at]).toBe(bytes[at]);
      for (const at of differs) emitted[at] = bytes[at];
      const frame = new RoceFrame();
      frame.decode(emitted);
      expect(frame.icrcExpected).toBe(read(bytes).frame.icrc);
    },
  );

  it('keeps its ICRC when a router changes what routers may change, and no other bit', () => {
    for (const golden of frames) {
      const bytes = bytesOf(golden);
      const { frame } = read(bytes);
      const variant = golden.ip === 4 ? [15, 22, 24, 25, 40, 41, 46] : [15, 16, 17, 21, 60, 61, 66];
      for (let at = 14; at < bytes.length - 4; at++) {
        const changed = bytes.slice();
        changed[at] ^= at === 14 ? 0 : 0xff;
        frame.data = changed;
        if (at !== 14) expect(frame.icrcExpected === frame.icrc, `byte ${at}`).toBe(variant.includes(at));
      }
    }
  });
});

describe('the tables', () => {
  it('place no field of a header over another', () => {
    for (const { name, size, fields } of wireHeaders) {
      const taken = new Uint8Array(8 * size);
      for (const [field, { byte, bytes, shift, bits }] of Object.entries(fields)) {
        const end = 8 * (byte + bytes) - shift;
        for (let bit = end - bits; bit < end; bit++) {
          expect(taken[bit], `${name}.${field} bit ${bit}`).toBe(0);
          taken[bit] = 1;
        }
      }
    }
  });

  it('know every opcode that the model sends, and none of another transport', () => {
    expect(knownOpcodes.filter(opcode => opcode < 0x20)).toHaveLength(23);
    expect(knownOpcodes.filter(opcode => opcode >= 0x20 && opcode < 0x40)).toHaveLength(12);
    expect(knownOpcodes.filter(opcode => opcode >= 0x60)).toEqual([0x64, 0x65]);
    expect(opcodeLayout(PacketTransport.UC | PacketOperation.READ_REQUEST)).toBeUndefined();
  });
});

describe('any packet', () => {
  it('comes out of its frame as it went in', () => {
    fc.assert(
      fc.property(packetArbitrary, packet => {
        const { frame, packet: back } = read(frameOf(packet));
        expect(frame.problem).toBe('');
        expect(onTheWire(back)).toEqual(onTheWire(packet));
        expect(frame.icrc).toBe(frame.icrcExpected);
        expect(frame.padIsZero).toBe(true);
      }),
    );
  });

  it('is told from its neighbour: a flipped bit behind the Ethernet header is seen or lies where routers may write', () => {
    fc.assert(
      fc.property(packetArbitrary, fc.nat(), (packet, at) => {
        const bytes = frameOf(packet);
        const bit = (14 + (at % (bytes.length - 14))) * 8 + (at & 7);
        bytes[bit >> 3] ^= 1 << (bit & 7);
        const { frame, packet: back } = read(bytes);
        if (frame.kind !== 'roce' || frame.icrc !== frame.icrcExpected) return;
        const same = onTheWire(back);
        for (const field of ['trafficClass', 'hopLimit', 'flowLabel']) same[field] = onTheWire(packet)[field];
        expect(same).toEqual(onTheWire(packet));
      }),
      { numRuns: 500 },
    );
  });

  it('is refused before a byte is written when it does not fit or has no frame', () => {
    const packet = new Packet(() => undefined);
    Object.assign(packet, {
      sourceGid: 'fe80'.padEnd(32, '0'),
      destinationGid: 'fe80'.padEnd(32, '1'),
      opcode: 4,
    });
    const target = new Uint8Array(77);
    expect(() => emitFrame(packet, target)).toThrow('a frame of 78 bytes does not fit in 77');
    packet.opcode = 0x1f;
    expect(() => emitFrame(packet, target)).toThrow('opcode 0x1f has no frame');
    packet.opcode = 4;
    packet.destinationGid = '00000000000000000000ffff0a000001';
    expect(() => emitFrame(packet, target)).toThrow('one is IPv4');
    expect(target.every(byte => byte === 0)).toBe(true);
  });
});

describe('hostile bytes', () => {
  const harmless = (bytes: Uint8Array): void => {
    const { frame, packet } = read(bytes);
    expect(frameLine(frame).length).toBeGreaterThan(0);
    expect(frameFields(frame).length).toBeGreaterThan(0);
    expect(frame.problem === '').toBe(frame.kind === 'roce');
    if (frame.kind !== 'roce') return;
    expect(frame.payloadAt + frame.payloadLength).toBe(frame.padAt);
    expect(frame.icrcAt + 4).toBeLessThanOrEqual(bytes.length);
    expect(packet.payloadLength).toBeLessThanOrEqual(4096);
  };

  it('of any kind are looked at without harm', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), harmless), { numRuns: 1000 });
  });

  it('that are nearly a frame are looked at without harm', () => {
    const nearly = fc.tuple(
      packetArbitrary,
      fc.array(fc.tuple(fc.nat(), fc.nat(0xff)), { maxLength: 4 }),
      fc.nat(),
    );
    fc.assert(
      fc.property(nearly, ([packet, changes, cut]) => {
        const bytes = frameOf(packet);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        harmless(cut % 3 === 0 ? bytes.subarray(0, cut % (bytes.length + 1)) : bytes);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['a fragment', (bytes: Uint8Array) => void (bytes[20] = 0x20)],
    ['UDP length 4660 in 32 bytes of IP payload', (bytes: Uint8Array) => bytes.set([0x12, 0x34], 38)],
    ['opcode 0x81', (bytes: Uint8Array) => void (bytes[42] = 0x81)],
    ['8 bytes do not hold the headers of RC WRITE_ONLY', (bytes: Uint8Array) => void (bytes[42] = 0x0a)],
    ['not port 4791', (bytes: Uint8Array) => void (bytes[36] = 0)],
  ])('are named for what is wrong: %s', (problem, harm) => {
    const bytes = bytesOf(frames[0]);
    harm(bytes);
    const { frame } = read(bytes);
    expect(frame.kind).not.toBe('roce');
    expect(frame.problem).toBe(problem);
  });

  it('of a jumbo payload leave the record within its bounds and are told', () => {
    const packet = new Packet(() => undefined);
    Object.assign(packet, {
      sourceGid: 'fe80'.padEnd(32, '0'),
      destinationGid: 'fe80'.padEnd(32, '1'),
      opcode: 4,
    });
    packet.payloadLength = 4096;
    const frame = frameOf(packet);
    const longer = new Uint8Array(frame.length + 4);
    longer.set(frame);
    longer.set([(4096 + 28) >> 8, (4096 + 28) & 255], 18);
    longer.set([(4096 + 28) >> 8, (4096 + 28) & 255], 58);
    const view = new RoceFrame();
    expect(view.decode(longer)).toBe('roce');
    expect(readFrame(view, new GidNames(), packet)).toBe(false);
    expect(packet.payloadLength).toBe(4096);
    expect(FRAME_BYTES_MAX).toBeGreaterThan(frame.length);
  });
});

describe('a frame for people', () => {
  it('is one line, or a line for each header', () => {
    const lines = frames.map(golden => frameLine(read(bytesOf(golden)).frame));
    expect(lines).toEqual([
      '10.0.0.1 > 10.0.0.2  RC SEND_ONLY qp 18 psn 256, 5 bytes, ack',
      '10.0.0.1 > 10.0.0.2  RC WRITE_ONLY qp 18 psn 16777215, 8 bytes, 8 at 0x1122334455667800, ack',
      '10.0.0.2 > 10.0.0.1  RC ACKNOWLEDGE qp 17 psn 256, 0 bytes, ACK, msn 1',
      '10.0.0.1 > 10.0.0.2  UD SEND_ONLY qp 32 psn 5, 4 bytes, from qp 21',
      'fe80:0:0:0:0:0:0:1 > fe80:0:0:0:0:0:0:2  RC SEND_ONLY qp 18 psn 256, 5 bytes, ack',
    ]);
    const fields = frameFields(read(bytesOf(frames[2])).frame);
    expect(fields.slice(3)).toEqual([
      'BTH        opcode 17, solicited 0, migration 0, padCount 0, version 0, partitionKey 0xffff, fecn 0, becn 0, destQpn 0x11, ackRequest 0, psn 0x100',
      'AETH       syndrome 31, msn 0x1',
      'payload    0 bytes, pad 0',
      'ICRC       0x8671d1e4, right',
    ]);
  });
});

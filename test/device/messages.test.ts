/** Messages between machines: any length, acknowledged before they complete, on the wire and nowhere else; statuses of failures. */
import { describe, expect, it } from 'vitest';
import { Command, WcStatus, WrOpcode, destroyAhCommand, wcStatuses } from '../../src/abi/index.js';
import {
  PacketOperation,
  PacketTransport,
  SeededChoices,
  operationOf,
  packetOpcodeName,
  transportOf,
} from '../../src/fabric/index.js';
import { World, defined, limits, recvRequest, sendRequest } from './guest.js';
import { datagramPair, lonelySide, pairOfGuests, pairOnUc } from './pairs.js';
import type { Side } from './pairs.js';

const { SUCCESS } = WcStatus;
const MTU = 1024;
const { maxMsgSizeBytes } = limits.port;
const lengths = [
  0,
  1,
  MTU - 1,
  MTU,
  MTU + 1,
  2 * MTU,
  5000,
  3 * 4096 + 1,
  maxMsgSizeBytes - 1,
  maxMsgSizeBytes,
];
const statuses = (s: Side) => s.guest.poll(s.cqn).map(({ status }) => status);

describe('messages', () => {
  it.each([
    ['RC', pairOfGuests],
    ['UC', pairOnUc],
  ] as const)('[DATA-45] of any length up to max_msg_sz go through on %s', (_, connected) => {
    const { a, b } = connected(new World());
    const areas = [a, b].map(({ guest, pdn }) => {
      const addr = guest.alloc(maxMsgSizeBytes, 4096) + 0;
      return { addr, ...guest.registerAt(pdn, addr, maxMsgSizeBytes) };
    });
    const [from, to] = areas;
    for (const length of lengths) {
      const data = Uint8Array.from({ length }, (__, i) => (i * 31 + length + (i >> 8)) & 0xff);
      a.guest.memory.write(from.addr, data, 0, length);
      const sges = [{ addr: from.addr, length, lkey: from.lkey }];
      const rdma = { remote_addr: to.addr, rkey: to.rkey };
      for (const opcode of [WrOpcode.SEND, WrOpcode.RDMA_WRITE]) {
        b.guest.memory.write(to.addr, new Uint8Array(maxMsgSizeBytes), 0, maxMsgSizeBytes);
        if (opcode === WrOpcode.SEND) {
          b.guest.postRecv(
            b.qpn,
            recvRequest(1, [{ addr: to.addr, length: maxMsgSizeBytes, lkey: to.lkey }]),
          );
        }
        a.guest.postSend(a.qpn, sendRequest({ opcode, sges, rdma }));
        a.guest.world.settle();
        expect(statuses(a), `${length} bytes`).toEqual([SUCCESS]);
        a.guest.addBuffers(a.cqn, 1);
        expect(Buffer.compare(b.guest.peek(to.addr, length), data), `${length} bytes`).toBe(0);
        if (opcode !== WrOpcode.SEND) continue;
        expect(b.guest.poll(b.cqn)).toMatchObject([{ status: SUCCESS, byte_len: length }]);
        b.guest.addBuffers(b.cqn, 1);
      }
    }
  });

  it('[DATA-59] complete on RC only when the peer has acknowledged them and all before them', () => {
    const faults = { dropPer1024: 200, duplicatePer1024: 100, reorderPer1024: 100 };
    let waits = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const world = new World(new SeededChoices(seed), faults, seed);
      const { a, b } = pairOfGuests(world);
      // Each request is one packet, so number n is acknowledged with packet n; a read by nothing but its response.
      const READ = 2;
      let through = 0;
      let answered = false;
      world.fabric.observe({
        sent: () => undefined,
        dropped: () => undefined,
        delivered: ({ opcode, psn, syndrome, destinationGid }) => {
          if (destinationGid !== Buffer.from(a.gid).toString('hex')) return;
          const name = packetOpcodeName(opcode);
          answered ||= name === 'RC READ_RESPONSE_ONLY';
          // A negative acknowledgement vouches for what is before the packet that it names.
          const positive = name === 'RC READ_RESPONSE_ONLY' || syndrome < 32;
          through = Math.max(through, positive ? psn + 1 : psn);
        },
      });
      const acknowledged = () => (answered ? through : Math.min(through, READ));
      const element = { addr: a.buffer, length: 8, lkey: a.lkey };
      const rdma = { remote_addr: b.buffer, rkey: b.rkey };
      const opcodes = [WrOpcode.SEND, WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ, WrOpcode.SEND];
      for (const [wrId, opcode] of opcodes.entries()) {
        b.guest.postRecv(b.qpn, recvRequest(wrId));
        const sges = opcode === WrOpcode.SEND ? [] : [element];
        a.guest.postSend(a.qpn, sendRequest({ wrId, opcode, sges, rdma }));
      }
      let completed = 0;
      while (!world.scheduler.quiet) {
        world.scheduler.step();
        completed += statuses(a).length;
        expect(completed, `seed ${seed}`).toBeLessThanOrEqual(acknowledged());
        if (acknowledged() < 4) waits++;
      }
      expect(completed, `seed ${seed}`).toBe(4);
    }
    expect(waits).toBeGreaterThan(60);
  });

  it('[DATA-59] do not complete with SUCCESS on RC when no acknowledgement arrives', () => {
    const world = new World();
    const a = lonelySide(world);
    a.guest.postSend(a.qpn, sendRequest());
    world.settle();
    expect(statuses(a)).toEqual([WcStatus.RETRY_EXC_ERR]);
  });
});

describe('the wire', () => {
  const transports = new Set<number>(Object.values(PacketTransport));
  const operations = new Set<number>(Object.values(PacketOperation));

  it('[OVR-12] carries every message as RoCE v2 packets: all of its bytes, and nothing arrives without them', () => {
    const everyPacket = {
      dropPer1024: 1024,
      duplicatePer1024: 0,
      reorderPer1024: 0,
      faultyTransmissions: Infinity,
    };
    for (const lost of [false, true]) {
      const world = lost ? new World(undefined, everyPacket) : new World();
      const { a, b } = pairOnUc(world);
      let payload = 0;
      world.fabric.observe({
        sent: packet => {
          expect(transports.has(transportOf(packet.opcode))).toBe(true);
          expect(operations.has(operationOf(packet.opcode))).toBe(true);
          expect(packet.sourceGid).toBe(Buffer.from(a.gid).toString('hex'));
          expect(packet.destinationGid).toBe(Buffer.from(b.gid).toString('hex'));
          payload += packet.payloadLength;
        },
        delivered: () => undefined,
        dropped: () => undefined,
      });
      a.guest.memory.write(a.buffer, new Uint8Array(3000).fill(7), 0, 3000);
      b.guest.postRecv(b.qpn, recvRequest(1, [{ addr: b.buffer, length: 4096, lkey: b.lkey }]));
      a.guest.postSend(a.qpn, sendRequest({ sges: [{ addr: a.buffer, length: 3000, lkey: a.lkey }] }));
      world.settle();
      expect(payload).toBe(3000);
      expect(statuses(b)).toEqual(lost ? [] : [SUCCESS]);
      expect(b.guest.peek(b.buffer + 2999, 1)[0]).toBe(lost ? 0 : 7);
    }
  });
});

describe('failures', () => {
  type Fault = readonly [status: number, cause: (world: World) => readonly Side[]];
  const element = (s: Side, length = 64, lkey = s.lkey) => ({ addr: s.buffer, length, lkey });
  const faults: readonly Fault[] = [
    [
      WcStatus.LOC_PROT_ERR,
      world => {
        const { a, b } = pairOfGuests(world);
        a.guest.postSend(a.qpn, sendRequest({ sges: [element(a, 64, 0x123)] }));
        return [a, b];
      },
    ],
    [
      WcStatus.LOC_LEN_ERR,
      world => {
        const { a, b } = pairOfGuests(world);
        b.guest.postRecv(b.qpn, recvRequest(1, [element(b, 1)]));
        a.guest.postSend(a.qpn, sendRequest({ inline: new Uint8Array(2) }));
        return [a, b];
      },
    ],
    [
      WcStatus.REM_ACCESS_ERR,
      world => {
        const { a, b } = pairOfGuests(world);
        const rdma = { remote_addr: 0, rkey: 0x4444 };
        a.guest.postSend(a.qpn, sendRequest({ opcode: WrOpcode.RDMA_WRITE, sges: [element(a)], rdma }));
        return [a, b];
      },
    ],
    [
      WcStatus.REM_OP_ERR,
      world => {
        const { a, b } = pairOfGuests(world);
        b.guest.postRecv(b.qpn, recvRequest(1, [element(b, 64, 0x123)]));
        b.guest.postRecv(b.qpn, recvRequest(2));
        a.guest.postSend(a.qpn, sendRequest({ inline: new Uint8Array(2) }));
        return [a, b];
      },
    ],
    [
      WcStatus.RNR_RETRY_EXC_ERR,
      world => {
        const { a, b } = pairOfGuests(world);
        a.guest.postSend(a.qpn, sendRequest());
        a.guest.postSend(a.qpn, sendRequest());
        return [a, b];
      },
    ],
    [
      WcStatus.RETRY_EXC_ERR,
      world => {
        const a = lonelySide(world);
        a.guest.postSend(a.qpn, sendRequest());
        return [a];
      },
    ],
    [
      WcStatus.LOC_QP_OP_ERR,
      world => {
        const { a, b, qkey } = datagramPair(world);
        const ah = defined(a.guest.createAh(a.pdn, b.gid));
        a.guest.request(Command.DESTROY_AH, destroyAhCommand, { pdn: a.pdn, ah });
        a.guest.postSend(a.qpn, sendRequest({ ud: { remote_qpn: b.qpn, remote_qkey: qkey, ah } }));
        return [a, b];
      },
    ],
  ];

  it('[CQ-20] have each a status of the table', () => {
    const found = new Set<number>();
    for (const [status, cause] of faults) {
      const world = new World();
      const sides = cause(world);
      world.settle();
      const seen = sides.flatMap(statuses);
      expect(seen.every(one => wcStatuses.nameOf(one) !== undefined)).toBe(true);
      expect(seen).toContain(status);
      for (const one of seen) found.add(one);
    }
    expect(found.has(WcStatus.WR_FLUSH_ERR)).toBe(true);
    expect(found.has(WcStatus.REM_INV_REQ_ERR)).toBe(true);
  });
});

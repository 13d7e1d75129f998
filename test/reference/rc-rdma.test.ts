/** RDMA WRITE and READ on RC: lengths, immediate, fence, read depth. */
import { describe, expect, it } from 'vitest';
import { PathMtu, SendFlag, WcFlag, WcOpcode, WrOpcode } from '../../src/abi/index.js';
import { Pair, sameBytes } from './pair.js';

const { RDMA_READ, RDMA_WRITE, RDMA_WRITE_WITH_IMM, SEND } = WrOpcode;
const lengths = [1, 255, 256, 257, 512, 1000, 65_536];

describe('RDMA WRITE', () => {
  it.each(lengths)('[DATA-44] writes %i bytes and uses no receive', length => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    a.memory.fill(10, length, 9);
    b.recv(qb, 7, [b.sge(0, 10)]);
    const { rkey } = b.mr;
    a.send(qa, 1, { opcode: RDMA_WRITE, sges: [a.sge(10, length)], remoteAddr: 3001, rkey });
    pair.settle();
    expect(a.poll(a.sendCq)).toMatchObject([
      { wrId: 1, status: 0, opcode: WcOpcode.RDMA_WRITE, byteLen: 0, wcFlags: 0 },
    ]);
    expect(b.recvs()).toEqual([]);
    expect(sameBytes(b.memory.slice(3001, length), a.memory.slice(10, length))).toBe(true);
    expect(b.memory.bytes[3000]).toBe(0);
    expect(b.memory.bytes[3001 + length]).toBe(0);
  });

  it.each([0, 100, 600])(
    '[DATA-43] with immediate: completes a receive with %i bytes and leaves its memory',
    length => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
      a.memory.fill(0, 1000, 1);
      b.recv(qb, 7, [b.sge(0, 1000)]);
      const target = { remoteAddr: 4096, rkey: b.mr.rkey };
      a.send(qa, 1, { opcode: RDMA_WRITE_WITH_IMM, immData: 0xfeed, sges: [a.sge(0, length)], ...target });
      pair.settle();
      expect(a.poll(a.sendCq)).toMatchObject([{ status: 0, opcode: WcOpcode.RDMA_WRITE }]);
      expect(b.poll(b.recvCq)).toMatchObject([
        {
          wrId: 7,
          opcode: WcOpcode.RECV_RDMA_WITH_IMM,
          byteLen: length,
          immData: 0xfeed,
          wcFlags: WcFlag.WITH_IMM,
        },
      ]);
      expect(b.memory.slice(0, 1000).every(byte => byte === 0)).toBe(true);
      expect(sameBytes(b.memory.slice(4096, length), a.memory.slice(0, length))).toBe(true);
    },
  );

  it('[DATA-41] does not look at address and key of an empty write or read', () => {
    const pair = new Pair();
    const { a } = pair;
    const [qa] = pair.rc();
    a.send(qa, 1, { opcode: RDMA_WRITE, remoteAddr: 2 ** 40, rkey: 0xbad });
    a.send(qa, 2, { opcode: RDMA_READ, remoteAddr: 2 ** 40, rkey: 0xbad });
    pair.settle();
    expect(a.sends()).toEqual([
      [1, 'SUCCESS'],
      [2, 'SUCCESS'],
    ]);
  });
});

describe('RDMA READ', () => {
  it.each(lengths)('[DATA-40] reads %i bytes', length => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    b.memory.fill(77, length, 4);
    const target = { remoteAddr: 77, rkey: b.mr.rkey };
    a.send(qa, 1, { opcode: RDMA_READ, sges: [a.sge(501, length)], ...target });
    pair.settle();
    expect(a.poll(a.sendCq)).toMatchObject([
      { wrId: 1, status: 0, opcode: WcOpcode.RDMA_READ, byteLen: length },
    ]);
    expect(sameBytes(a.memory.slice(501, length), b.memory.slice(77, length))).toBe(true);
    expect(a.memory.bytes[501 + length]).toBe(0);
  });

  it('[DATA-74] takes as many sequence numbers as it has responses', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256, sqPsn: 10, rqPsn: 10 });
    const sent = pair.tap();
    b.recv(qb, 1);
    a.send(qa, 1, { opcode: RDMA_READ, sges: [a.sge(0, 600)], remoteAddr: 0, rkey: b.mr.rkey });
    a.send(qa, 2);
    pair.settle();
    expect(sent).toEqual([
      'RC READ_REQUEST 10',
      'RC SEND_ONLY 13',
      'RC READ_RESPONSE_FIRST 10',
      'RC READ_RESPONSE_MIDDLE 11',
      'RC READ_RESPONSE_LAST 12',
      'RC ACKNOWLEDGE 13',
    ]);
    expect(a.sends().map(([wrId]) => wrId)).toEqual([1, 2]);
  });

  it.each([1, 2, 3])(
    '[DATA-62] [DATA-63] has at most max_rd_atomic %i under way; the rest waits in order',
    maxRdAtomic => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ maxRdAtomic });
      let underWay = 0;
      let most = 0;
      pair.fabric.observe({
        sent: packet => {
          if ((packet.opcode & 31) === 12) most = Math.max(most, ++underWay);
        },
        delivered: packet => {
          if ((packet.opcode & 31) === 16) underWay--;
        },
        dropped() {},
      });
      b.recv(qb, 7);
      const read = { opcode: RDMA_READ, sges: [a.sge(0, 8)], remoteAddr: 0, rkey: b.mr.rkey };
      for (let i = 0; i < 7; i++) a.send(qa, i, read);
      a.send(qa, 7, { opcode: SEND });
      pair.settle();
      expect(a.sends()).toEqual(Array.from({ length: 8 }, (_, i) => [i, 'SUCCESS']));
      expect(most).toBe(maxRdAtomic);
    },
  );

  it('[DATA-64] is answered max_dest_rd_atomic times at once, responses of different reads in order', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    b.memory.fill(0, 40_000, 2);
    for (let i = 0; i < 8; i++)
      a.send(qa, i, {
        opcode: RDMA_READ,
        sges: [a.sge(i * 5000, 5000)],
        remoteAddr: i * 5000,
        rkey: b.mr.rkey,
      });
    pair.settle();
    expect(a.sends()).toEqual(Array.from({ length: 8 }, (_, i) => [i, 'SUCCESS']));
    expect(sameBytes(a.memory.slice(0, 40_000), b.memory.slice(0, 40_000))).toBe(true);
  });

  it('[DATA-79] is answered before the send behind it, however long its answer takes', () => {
    const pair = new Pair({ bandwidthBitsPerSecond: 1e9 });
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    const sent = pair.tap();
    b.recv(qb, 1);
    a.send(qa, 1, { opcode: RDMA_READ, sges: [a.sge(0, 50_000)], remoteAddr: 0, rkey: b.mr.rkey });
    a.send(qa, 2);
    pair.settle();
    expect(sent.slice(-2)).toEqual(['RC READ_RESPONSE_LAST 48', 'RC ACKNOWLEDGE 49']);
    expect(a.fn.counters.retransmissions).toBe(0);
  });

  it('[ORD-05] a fence waits for earlier reads, and only for those', () => {
    const order = (flags: number): string[] => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc();
      b.recv(qb, 1);
      const sent = pair.tap();
      a.send(qa, 1, { opcode: RDMA_READ, sges: [a.sge(0, 8)], remoteAddr: 0, rkey: b.mr.rkey });
      a.send(qa, 2, { sendFlags: flags });
      pair.settle();
      return sent.map(text => text.split(' ')[1]);
    };
    expect(order(SendFlag.FENCE).slice(0, 3)).toEqual(['READ_REQUEST', 'READ_RESPONSE_ONLY', 'SEND_ONLY']);
    expect(order(0).slice(0, 2)).toEqual(['READ_REQUEST', 'SEND_ONLY']);
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    for (let i = 0; i < 2; i++) b.recv(qb, i);
    const sent = pair.tap();
    a.send(qa, 1);
    a.send(qa, 2, { sendFlags: SendFlag.FENCE });
    pair.settle();
    expect(sent.slice(0, 2)).toEqual(['RC SEND_ONLY 0', 'RC SEND_ONLY 1']);
  });
});

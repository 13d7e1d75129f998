/** SEND on RC: lengths, lists, inline data, immediate, segmentation. */
import { describe, expect, it } from 'vitest';
import { PathMtu, QpType, SendFlag, WcFlag, WcOpcode, WrOpcode } from '../../src/abi/index.js';
import { caps, Pair } from './pair.js';

const { SIGNALED, INLINE, SOLICITED } = SendFlag;

describe('RC SEND', () => {
  it.each([1, 255, 256, 257, 511, 512, 513, 1000, 4096])(
    '[DATA-46] moves %i bytes over a path MTU of 256 and completes both sides',
    length => {
      const pair = new Pair();
      const { a, b } = pair;
      const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
      a.memory.fill(100, length, 1);
      b.recv(qb, 7, [b.sge(5000, 8192)]);
      a.send(qa, 1, { sges: [a.sge(100, length)] });
      pair.settle();
      expect(a.sends()).toEqual([[1, 'SUCCESS']]);
      expect(b.poll(b.recvCq)).toEqual([
        {
          wrId: 7,
          status: 0,
          opcode: WcOpcode.RECV,
          vendorErr: 0,
          byteLen: length,
          immData: 0,
          qpNum: qb.qpNum,
          srcQp: 0,
          wcFlags: 0,
        },
      ]);
      expect(b.memory.slice(5000, length)).toEqual(a.memory.slice(100, length));
    },
  );

  it('[DATA-73] cuts a message into FIRST, MIDDLE and LAST, and asks for one acknowledgement', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256, sqPsn: 0xff_fffe, rqPsn: 0xff_fffe });
    const sent = pair.tap();
    b.recv(qb, 7, [b.sge(0, 1000)]);
    a.send(qa, 1, { sges: [a.sge(0, 700)] });
    pair.settle();
    expect(sent).toEqual([
      'RC SEND_FIRST 16777214',
      'RC SEND_MIDDLE 16777215',
      'RC SEND_LAST 0',
      'RC ACKNOWLEDGE 0',
    ]);
  });

  it('[DATA-40] [DATA-26] delivers an empty message into an empty receive', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    b.recv(qb, 7);
    a.send(qa, 1);
    pair.settle();
    expect([a.sends(), b.poll(b.recvCq)]).toMatchObject([[[1, 'SUCCESS']], [{ wrId: 7, byteLen: 0 }]]);
  });

  it('[DATA-37] [DATA-38] [DATA-39] gathers and scatters in the order of the lists and leaves the rest alone', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 });
    a.memory.fill(0, 2000, 3);
    b.memory.bytes.fill(0xee);
    b.recv(qb, 7, [b.sge(900, 100), b.sge(100, 0, 0xbad), b.sge(300, 333), b.sge(2000, 500)]);
    a.send(qa, 1, { sges: [a.sge(1500, 301), a.sge(7, 0, 0xbad), a.sge(10, 299)] });
    pair.settle();
    expect(a.sends()).toEqual([[1, 'SUCCESS']]);
    const message = Uint8Array.from([...a.memory.slice(1500, 301), ...a.memory.slice(10, 299)]);
    const got = [...b.memory.slice(900, 100), ...b.memory.slice(300, 333), ...b.memory.slice(2000, 167)];
    expect(Uint8Array.from(got)).toEqual(message);
    expect(b.memory.slice(2167, 333).every(byte => byte === 0xee)).toBe(true);
    expect(b.memory.slice(1000, 1000).every(byte => byte === 0xee)).toBe(true);
  });

  it('[DATA-47] [DATA-36] copies inline data at once and needs no key for it', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc({ pathMtu: PathMtu.MTU_256 }, undefined, { ...caps, maxInlineData: 512 });
    const inlineData = Uint8Array.from({ length: 512 }, (_, i) => i & 0xff);
    const sent = inlineData.slice();
    b.recv(qb, 7, [b.sge(0, 512)]);
    a.send(qa, 1, { sendFlags: SIGNALED | INLINE, inlineData, sges: [a.sge(0, 9, 0xbad)] });
    inlineData.fill(0);
    pair.settle();
    expect(a.sends()).toEqual([[1, 'SUCCESS']]);
    expect(b.memory.slice(0, 512)).toEqual(sent);
  });

  it.each([0, 1, 0x01020304, 0xffff_ffff])('[DATA-09] passes immediate data %i on', immData => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    b.recv(qb, 7);
    a.send(qa, 1, { opcode: WrOpcode.SEND_WITH_IMM, immData });
    pair.settle();
    expect(b.poll(b.recvCq)).toMatchObject([{ immData, wcFlags: WcFlag.WITH_IMM, opcode: WcOpcode.RECV }]);
  });

  it('[CQ-02] [QP-48] completes an unsignaled send in silence, a signaled one or any with sq_sig_all aloud', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const quiet = pair.rc();
    const loud = [a.qp(QpType.RC, caps, true), b.qp()] as const;
    pair.connect(QpType.RC, ...loud);
    for (const [qa, qb] of [quiet, loud]) {
      for (let i = 0; i < 3; i++) b.recv(qb, i);
      for (let i = 0; i < 3; i++) a.send(qa, i, { sendFlags: i === 1 ? SIGNALED : 0 });
      pair.settle();
      expect(a.retired.splice(0)).toEqual(['s0', 's1', 's2']);
    }
    expect(a.sends().map(([wrId]) => wrId)).toEqual([1, 0, 1, 2]);
  });

  it('[ORD-01] [ORD-02] completes many messages in order on both sides, filling the queues again and again', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 50; i++) b.recv(qb, round * 100 + i, [b.sge(i * 16, 16)]);
      for (let i = 0; i < 50; i++) a.send(qa, round * 100 + i, { sges: [a.sge(i, 1 + (i % 16))] });
      pair.settle();
      const ids = Array.from({ length: 50 }, (_, i) => [round * 100 + i, 'SUCCESS']);
      expect([a.sends(), b.recvs()]).toEqual([ids, ids]);
    }
  });

  it('[DATA-65] carries both directions of a connection at once', () => {
    const pair = new Pair();
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    for (let i = 0; i < 30; i++) {
      a.recv(qa, i, [a.sge(5000 + i * 100, 100)]);
      b.recv(qb, i, [b.sge(5000 + i * 100, 100)]);
      a.send(qa, i, { sges: [a.sge(i, 64)] });
      b.send(qb, i, { sges: [b.sge(i, 64)] });
    }
    pair.settle();
    for (const list of [a.sends(), a.recvs(), b.sends(), b.recvs()])
      expect(list).toEqual(Array.from({ length: 30 }, (_, i) => [i, 'SUCCESS']));
  });

  it('[DATA-66] joins two queue pairs of one function', () => {
    const pair = new Pair();
    const { a } = pair;
    const one = a.qp();
    const two = a.qp();
    pair.connectTo(QpType.RC, a, one, a, two);
    a.memory.fill(0, 100, 5);
    a.recv(two, 7, [a.sge(500, 100)]);
    a.send(one, 1, { sges: [a.sge(0, 100)] });
    pair.settle();
    expect([a.sends(), a.recvs()]).toEqual([[[1, 'SUCCESS']], [[7, 'SUCCESS']]]);
    expect(a.memory.slice(500, 100)).toEqual(a.memory.slice(0, 100));
  });

  it('[CQ-39] [DATA-11] marks a receive as solicited when the message asked for it', () => {
    const events: string[] = [];
    const pair = new Pair({
      cqOwner: {
        completionAdded: () => events.push('added'),
        eventRaised: () => events.push('event'),
        overran() {},
        unconsumed: () => 0,
      },
    });
    const { a, b } = pair;
    const [qa, qb] = pair.rc();
    b.fn.reqNotifyCq(b.recvCq, true);
    for (let i = 0; i < 2; i++) b.recv(qb, i);
    a.send(qa, 1, { sendFlags: 0 });
    pair.settle();
    expect(events.splice(0)).toEqual(['added']);
    a.send(qa, 2, { opcode: WrOpcode.RDMA_WRITE, sendFlags: SOLICITED });
    pair.settle();
    expect(events).toEqual([]);
    a.send(qa, 3, { sendFlags: SOLICITED });
    pair.settle();
    expect(events).toEqual(['added', 'event']);
  });
});

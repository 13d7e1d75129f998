/**
 * A peer that is no HCA: a bare port on the fabric that sends whatever the test says. It reaches the statuses that no
 * honest peer causes, and the rules about packets that are out of place.
 */
import { describe, expect, it } from 'vitest';
import { PathMtu, QpState, QpType, WrOpcode } from '../../src/abi/index.js';
import { PacketOperation as Op, PacketTransport } from '../../src/fabric/index.js';
import type { FabricPort, Packet } from '../../src/fabric/index.js';
import type { HcaQp } from '../../src/reference/index.js';
import type { QpAttributes } from '../../src/verbs/index.js';
import { Pair, toRts } from './pair.js';

const FORGER_GID = 'fe80000000000000000000000000000f';
const FORGER_QPN = 77;
const ACK = 0x1f;
type Fields = Partial<
  Pick<
    Packet,
    | 'psn'
    | 'syndrome'
    | 'payloadLength'
    | 'ackRequest'
    | 'virtualAddress'
    | 'rkey'
    | 'dmaLength'
    | 'sourceGid'
    | 'sourceQpn'
    | 'partitionKey'
    | 'destQpn'
    | 'opcode'
  >
>;

class Forger {
  readonly pair = new Pair();
  readonly qp: HcaQp;
  /** What came, as opcode byte, sequence number and syndrome. */
  readonly got: (readonly [number, number, number])[] = [];
  readonly #port: FabricPort;

  constructor(set: QpAttributes = {}) {
    const { fabric, a } = this.pair;
    this.#port = fabric.attach({
      receive: packet =>
        this.got.push([packet.opcode, packet.psn, packet.opcode === Op.ACKNOWLEDGE ? packet.syndrome : 0]),
    });
    fabric.claimGid(this.#port, FORGER_GID);
    this.qp = a.qp();
    toRts(QpType.RC, a, this.qp, FORGER_GID, FORGER_QPN, { timeout: 0, pathMtu: PathMtu.MTU_256, ...set });
  }

  /** Sends an RC packet to the queue pair under test and lets everything settle. */
  send(operation: number, fields: Fields = {}): void {
    const { fabric, a } = this.pair;
    const packet = fabric.newPacket();
    const base = { psn: 0, payloadLength: 0, ackRequest: true, syndrome: ACK, solicited: false };
    const from = {
      sourceGid: FORGER_GID,
      sourceQpn: FORGER_QPN,
      destinationGid: a.gid,
      destQpn: this.qp.qpNum,
    };
    Object.assign(
      packet,
      base,
      from,
      { opcode: PacketTransport.RC | operation, partitionKey: 0xffff },
      fields,
    );
    fabric.send(this.#port, packet);
    this.pair.settle();
  }
}

describe('a forged answer', () => {
  const answered = (request: 'send' | 'read', ...answers: readonly (readonly [number, Fields])[]) => {
    const forger = new Forger();
    const { pair, qp } = forger;
    const { a } = pair;
    const opcode = request === 'read' ? WrOpcode.RDMA_READ : WrOpcode.SEND;
    a.send(qp, 1, { opcode, sges: [a.sge(0, 600)] });
    pair.settle();
    for (const [operation, fields] of answers) forger.send(operation, fields);
    return { status: a.sends().map(([, status]) => status), forger };
  };
  const FULL = { payloadLength: 256 };

  it.each([
    ['a read response to a send', 'send', [[Op.READ_RESPONSE_ONLY, {}]], 'BAD_RESP_ERR'],
    ['a last response too early', 'read', [[Op.READ_RESPONSE_LAST, FULL]], 'BAD_RESP_ERR'],
    [
      'a middle response too late',
      'read',
      [
        [Op.READ_RESPONSE_FIRST, FULL],
        [Op.READ_RESPONSE_MIDDLE, { psn: 1, ...FULL }],
        [Op.READ_RESPONSE_MIDDLE, { psn: 2, payloadLength: 88 }],
      ],
      'BAD_RESP_ERR',
    ],
    [
      'a response that is too short',
      'read',
      [[Op.READ_RESPONSE_FIRST, { payloadLength: 255 }]],
      'LOC_LEN_ERR',
    ],
    [
      'a last response that is too long',
      'read',
      [
        [Op.READ_RESPONSE_FIRST, FULL],
        [Op.READ_RESPONSE_MIDDLE, { psn: 1, ...FULL }],
        [Op.READ_RESPONSE_LAST, { psn: 2, payloadLength: 89 }],
      ],
      'LOC_LEN_ERR',
    ],
    ['a NAK of invalid request', 'send', [[Op.ACKNOWLEDGE, { syndrome: 0x61 }]], 'REM_INV_REQ_ERR'],
    ['a NAK of remote access', 'send', [[Op.ACKNOWLEDGE, { syndrome: 0x62 }]], 'REM_ACCESS_ERR'],
    ['a NAK of remote operation', 'send', [[Op.ACKNOWLEDGE, { syndrome: 0x63 }]], 'REM_OP_ERR'],
    ['a NAK with a reserved code', 'send', [[Op.ACKNOWLEDGE, { syndrome: 0x7f }]], 'REM_OP_ERR'],
  ] as const)('%s', (_what, request, answers, status) => {
    const { status: got, forger } = answered(request, ...answers);
    expect(got).toEqual([status]);
    expect(forger.pair.a.state(forger.qp)).toBe(QpState.ERR);
  });

  it.each([
    ['an acknowledgement of what was never sent', { psn: 3 }],
    ['an acknowledgement from long ago', { psn: 0xff_ffff }],
    ['a reserved kind of syndrome', { psn: 2, syndrome: 0x40 }],
    ['[ISO-12] an acknowledgement from another GID', { psn: 2, sourceGid: 'fe80' + '1'.repeat(28) }],
    ['[ISO-12] an acknowledgement from another queue pair', { psn: 2, sourceQpn: 78 }],
    ['an acknowledgement for another partition', { psn: 2, partitionKey: 0x8001 }],
    ['an acknowledgement of another transport', { psn: 2, opcode: PacketTransport.UC | Op.ACKNOWLEDGE }],
  ])('%s is ignored', (_what, fields) => {
    const { status, forger } = answered('send', [Op.ACKNOWLEDGE, fields]);
    expect(status).toEqual([]);
    forger.send(Op.ACKNOWLEDGE, { psn: 2 });
    expect(forger.pair.a.sends()).toEqual([[1, 'SUCCESS']]);
  });

  it('[DATA-79] acknowledges all sends before it, and no read', () => {
    const forger = new Forger();
    const { pair, qp } = forger;
    const { a } = pair;
    for (let i = 0; i < 3; i++) a.send(qp, i);
    a.send(qp, 3, { opcode: WrOpcode.RDMA_READ, sges: [a.sge(0, 8)] });
    a.send(qp, 4);
    pair.settle();
    forger.got.length = 0;
    forger.send(Op.ACKNOWLEDGE, { psn: 4 });
    expect(a.sends()).toEqual([0, 1, 2].map(wrId => [wrId, 'SUCCESS']));
    // [DATA-80]: the read goes again, and what stands behind it.
    expect(forger.got).toEqual([
      [Op.READ_REQUEST, 3, 0],
      [Op.SEND_ONLY, 4, 0],
    ]);
    forger.send(Op.READ_RESPONSE_ONLY, { psn: 3, payloadLength: 8 });
    forger.send(Op.ACKNOWLEDGE, { psn: 4 });
    expect(a.sends()).toEqual([3, 4].map(wrId => [wrId, 'SUCCESS']));
  });

  it('[DATA-80] a read goes on from the first response that is missing', () => {
    const forger = new Forger();
    const { pair, qp } = forger;
    const { a } = pair;
    const seen: (readonly number[])[] = [];
    pair.fabric.observe({
      sent: ({ opcode, psn, virtualAddress, dmaLength }) => {
        if (opcode === Op.READ_REQUEST) seen.push([psn, virtualAddress, dmaLength]);
      },
      delivered() {},
      dropped() {},
    });
    a.send(qp, 1, { opcode: WrOpcode.RDMA_READ, sges: [a.sge(0, 1000)], remoteAddr: 5000, rkey: 1 });
    pair.settle();
    forger.send(Op.READ_RESPONSE_FIRST, FULL);
    forger.send(Op.READ_RESPONSE_MIDDLE, { psn: 2, ...FULL });
    expect(seen).toEqual([
      [0, 5000, 1000],
      [1, 5256, 744],
    ]);
    forger.send(Op.READ_RESPONSE_FIRST, { psn: 1, ...FULL });
    forger.send(Op.READ_RESPONSE_MIDDLE, { psn: 2, ...FULL });
    forger.send(Op.READ_RESPONSE_LAST, { psn: 3, payloadLength: 232 });
    expect(a.sends()).toEqual([[1, 'SUCCESS']]);
  });
});

describe('a forged request', () => {
  const NAK_INVALID = [Op.ACKNOWLEDGE, 0, 0x61];

  it.each([
    ['a middle packet of nothing', [[Op.SEND_MIDDLE, { payloadLength: 256 }]]],
    ['a last packet of nothing', [[Op.WRITE_LAST, { payloadLength: 1 }]]],
    ['an atomic', [[0x13, {}]]],
    ['an opcode that does not exist', [[0x1f, {}]]],
    ['a first packet that is not full', [[Op.SEND_FIRST, { payloadLength: 255 }]]],
    ['a write whose payload is longer than it said', [[Op.WRITE_ONLY, { payloadLength: 8, dmaLength: 4 }]]],
    ['a write longer than 2^31', [[Op.WRITE_FIRST, { payloadLength: 256, dmaLength: 2 ** 31 + 1 }]]],
    ['a read longer than 2^31', [[Op.READ_REQUEST, { dmaLength: 2 ** 31 + 1 }]]],
  ] as const)('%s: NAK of invalid request, then ERR', (_what, packets) => {
    const forger = new Forger();
    const { a } = forger.pair;
    a.recv(forger.qp, 1, [a.sge(0, 5000)]);
    for (const [operation, fields] of packets) forger.send(operation, fields);
    expect(forger.got).toEqual([NAK_INVALID]);
    expect([a.recvs(), a.state(forger.qp)]).toEqual([[[1, 'WR_FLUSH_ERR']], QpState.ERR]);
  });

  it.each([
    ['a write', Op.WRITE_ONLY, {}],
    ['a read', Op.READ_REQUEST, {}],
    ['the first packet of another', Op.SEND_FIRST, { payloadLength: 256 }],
    ['an empty last packet', Op.SEND_LAST, {}],
    ['a middle packet that is not full', Op.SEND_MIDDLE, { payloadLength: 17 }],
  ])('%s in the middle of a send completes the receive with REM_INV_REQ_ERR', (_what, operation, fields) => {
    const forger = new Forger();
    const { a } = forger.pair;
    a.recv(forger.qp, 1, [a.sge(0, 5000)]);
    a.recv(forger.qp, 2);
    forger.send(Op.SEND_FIRST, { payloadLength: 256, ackRequest: false });
    forger.send(operation, { psn: 1, ...fields });
    expect(forger.got).toEqual([[Op.ACKNOWLEDGE, 1, 0x61]]);
    expect(a.recvs()).toEqual([
      [1, 'REM_INV_REQ_ERR'],
      [2, 'WR_FLUSH_ERR'],
    ]);
  });

  it('[DATA-75] ahead of its time is asked back once, and dropped until the gap is closed', () => {
    const forger = new Forger();
    const { a } = forger.pair;
    for (let i = 0; i < 3; i++) a.recv(forger.qp, i);
    forger.send(Op.SEND_ONLY, { psn: 1 });
    forger.send(Op.SEND_ONLY, { psn: 2 });
    expect(forger.got.splice(0)).toEqual([[Op.ACKNOWLEDGE, 0, 0x60]]);
    forger.send(Op.SEND_ONLY, { psn: 0 });
    forger.send(Op.SEND_ONLY, { psn: 2 });
    expect(forger.got).toEqual([
      [Op.ACKNOWLEDGE, 0, ACK],
      [Op.ACKNOWLEDGE, 1, 0x60],
    ]);
    expect(a.recvs()).toEqual([[0, 'SUCCESS']]);
  });

  it('[DATA-60] [DATA-77] that comes again is not carried out, and acknowledged by the newest if it asks', () => {
    const forger = new Forger();
    const { a } = forger.pair;
    for (let i = 0; i < 3; i++) a.recv(forger.qp, i);
    for (let psn = 0; psn < 3; psn++) forger.send(Op.SEND_ONLY, { psn });
    forger.got.length = 0;
    forger.send(Op.SEND_ONLY, { psn: 0, ackRequest: false });
    forger.send(Op.SEND_ONLY, { psn: 1 });
    forger.send(Op.WRITE_ONLY, { psn: 0xff_ffff, rkey: 0xbad, dmaLength: 4, payloadLength: 4 });
    expect(forger.got).toEqual([
      [Op.ACKNOWLEDGE, 2, ACK],
      [Op.ACKNOWLEDGE, 2, ACK],
    ]);
    expect(a.recvs().length).toBe(3);
  });

  it('[DATA-78] a read that comes again is answered from memory as it is then, from any response on', () => {
    const forger = new Forger();
    const { a, fabric } = forger.pair;
    const payloads: number[] = [];
    fabric.observe({ sent: packet => payloads.push(packet.payload[0]), delivered() {}, dropped() {} });
    const read = { virtualAddress: 0, rkey: a.mr.rkey, dmaLength: 600 };
    a.memory.bytes.fill(1);
    forger.send(Op.READ_REQUEST, read);
    a.memory.bytes.fill(2);
    forger.got.length = 0;
    payloads.length = 0;
    forger.send(Op.READ_REQUEST, { ...read, psn: 1, virtualAddress: 256, dmaLength: 344 });
    expect(forger.got.map(([opcode, psn]) => [opcode, psn])).toEqual([
      [Op.READ_RESPONSE_FIRST, 1],
      [Op.READ_RESPONSE_LAST, 2],
    ]);
    expect(payloads.slice(1)).toEqual([2, 2]);
    forger.got.length = 0;
    forger.send(Op.READ_REQUEST, { ...read, psn: 1, virtualAddress: 0, dmaLength: 344 });
    forger.send(Op.READ_REQUEST, { ...read, psn: 0, rkey: a.mr.rkey ^ 1 });
    expect(forger.got).toEqual([]);
    a.fn.deregisterMr(a.mr);
    forger.send(Op.READ_REQUEST, read);
    expect(forger.got).toEqual([[Op.ACKNOWLEDGE, 0, 0x62]]);
    expect(a.state(forger.qp)).toBe(QpState.ERR);
  });

  it('an unanswered read keeps its place when every record is busy', () => {
    const forger = new Forger();
    const { a } = forger.pair;
    for (let psn = 0; psn < 50; psn++) forger.send(Op.READ_REQUEST, { psn, rkey: a.mr.rkey, dmaLength: 8 });
    expect(forger.got.map(([, psn]) => psn)).toEqual(Array.from({ length: 50 }, (_, psn) => psn));
  });
});

/** What the monitor between a device and its adapter tells the machines of queue pair, requests and completion queue, and that all else passes. */
import { beforeEach, describe, expect, it } from 'vitest';
import { QpState, QpType, SendFlag, WcStatus, WrOpcode } from '../../src/abi/index.js';
import { InstanceNumbers, WatchedFunction } from '../../src/conformance/monitors/hca-monitors.js';
import { gidOf } from '../../src/conformance/patterns.js';
import { bareMetalWorld } from '../../src/conformance/world.js';
import type {
  HcaCq,
  HcaCqOwner,
  HcaFunction,
  HcaPd,
  HcaQp,
  HcaQpOwner,
  ReferenceFunction,
} from '../../src/reference/index.js';
import { emptyCompletion } from '../../src/verbs/index.js';
import type { DmaMemory, SendWorkRequest } from '../../src/verbs/index.js';
import { overlay } from './faults/fault.js';
import { completion, program } from './hand-made.js';
import { Told } from './told.js';

const cap = { maxSendWr: 4, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };

/** An adapter that does as it is told, and a watch around it; its owner says what reaches it. */
class Adapter {
  readonly told = new Told('QP.UD', 'QP.RC', 'SEND_WR', 'RECV_WR', 'CQ');
  /** Calls that reached the adapter, and what came of them for the owner. */
  readonly calls: string[] = [];
  unconsumed = 0;
  polled = 0;
  /** What the next modify, post or destroy does before it returns. */
  within: () => void = () => undefined;
  state: QpState = QpState.RESET;
  readonly cqOwners: HcaCqOwner[] = [];
  readonly qpOwners: HcaQpOwner[] = [];
  readonly numbers = new InstanceNumbers();
  readonly real: ReferenceFunction;
  readonly memory: DmaMemory;
  readonly inner: HcaFunction;
  readonly hca: WatchedFunction;
  readonly pd: HcaPd;

  constructor() {
    const [{ function: real, guest }] = bareMetalWorld(program, { profile: 'roce' }).machines;
    this.real = real;
    this.memory = guest.flatMemory();
    const act = (call: string): void => {
      this.calls.push(call);
      const { within } = this;
      this.within = () => undefined;
      within();
    };
    this.inner = overlay<HcaFunction>(real, {
      createCq: (cqe, owner) => {
        this.cqOwners.push(owner);
        return real.createCq(cqe, owner);
      },
      createQp: (pd, init, owner, qpNum) => {
        this.qpOwners.push(owner);
        return real.createQp(pd, init, owner, qpNum);
      },
      destroyCq: () => act('destroyCq'),
      reqNotifyCq: (_cq, solicited) => act(`reqNotifyCq ${solicited}`),
      pollCq: (_cq, into, max) => {
        act(`pollCq ${into.length} ${max}`);
        return this.polled;
      },
      modifyQp: (_qp, { qpState }) => act(`modifyQp ${qpState}`),
      queryQp: qp => ({ ...real.queryQp(qp), qpState: this.state }),
      destroyQp: () => act('destroyQp'),
      postSend: (_qp, { wrId }, cookie) => act(`postSend ${wrId} ${cookie}`),
      postRecv: (_qp, { wrId }, cookie) => act(`postRecv ${wrId} ${cookie}`),
      postFaultySend: (_qp, wrId, status, cookie) => act(`postFaultySend ${wrId} ${status} ${cookie}`),
      postFaultyRecv: (_qp, wrId, status, cookie) => act(`postFaultyRecv ${wrId} ${status} ${cookie}`),
      reset: () => act('reset'),
    });
    this.hca = new WatchedFunction(this.inner, this.told.book, this.numbers);
    this.pd = this.hca.createPd();
  }

  cq(cqe = 4): HcaCq {
    return this.hca.createCq(cqe, {
      completionAdded: (_cq, { wrId }, solicited) => void this.calls.push(`added ${wrId} ${solicited}`),
      eventRaised: () => void this.calls.push('event'),
      unconsumed: () => this.unconsumed,
      overran: () => void this.calls.push('overran'),
    });
  }
  qp(sendCq: HcaCq, recvCq = sendCq, type: QpType = QpType.UD, sqSigAll = false): HcaQp {
    return this.hca.createQp(
      this.pd,
      { type, sqSigAll, sendCq, recvCq, cap },
      {
        sendRetired: (_qp, cookie) => void this.calls.push(`send retired ${cookie}`),
        recvRetired: (_qp, cookie) => void this.calls.push(`recv retired ${cookie}`),
      },
    );
  }
  send(qp: HcaQp, wrId: number, sendFlags = 0): void {
    const request: SendWorkRequest = { wrId, opcode: WrOpcode.SEND, sendFlags, sges: [] };
    this.hca.postSend(qp, { ...request, ah: undefined }, wrId + 100);
  }
  recv(qp: HcaQp, wrId: number): void {
    this.hca.postRecv(qp, { wrId, sges: [] }, wrId + 100);
  }
  /** What `work` tells the machines. */
  by(work: () => void): readonly string[] {
    return this.told.by(work);
  }
}

let adapter: Adapter;
let cq: HcaCq;
beforeEach(() => {
  adapter = new Adapter();
  cq = adapter.cq();
});

describe('a completion queue at the adapter', () => {
  it('[CQ-03] [CQ-07] is opened with its room, armed either way and destroyed; what is no queue of the watch passes', () => {
    expect(adapter.told.heard).toEqual(['CQ 0 opened']);
    expect(adapter.by(() => void adapter.cq(2))).toEqual(['CQ 1 opened']);
    expect(adapter.by(() => adapter.hca.reqNotifyCq(cq, true))).toEqual(['CQ 0 ARM_SOLICITED']);
    expect(adapter.by(() => adapter.hca.reqNotifyCq(cq, false))).toEqual(['CQ 0 ARM_NEXT']);
    expect(adapter.by(() => adapter.cqOwners[0].eventRaised(cq))).toEqual(['CQ 0 EVENT']);
    expect(adapter.by(() => adapter.hca.destroyCq(cq))).toEqual(['CQ 0 DESTROY']);
    expect(adapter.by(() => adapter.hca.destroyCq(cq))).toEqual([]);
    expect(adapter.by(() => adapter.hca.reqNotifyCq(cq, false))).toEqual([]);
    expect(adapter.hca.pollCq(cq, [], 1)).toBe(0);
    expect(adapter.calls).toEqual([
      'reqNotifyCq true',
      'reqNotifyCq false',
      'event',
      'destroyCq',
      'destroyCq',
      'reqNotifyCq false',
      'pollCq 0 1',
    ]);
  });

  it('[CQ-04] [CQ-05] is as full as the adapter and its owner hold; what the owner counts no more was polled', () => {
    const [owner] = adapter.cqOwners;
    const add = (wrId: number, solicited = false): readonly string[] =>
      adapter.by(() => owner.completionAdded(cq, completion(wrId), solicited));
    expect(add(1)).toEqual(['CQ 0 ADD']);
    expect(add(2, true)).toEqual(['CQ 0 ADD_SOLICITED']);
    // Both go to the owner, which has them unconsumed.
    adapter.polled = 2;
    adapter.unconsumed = 2;
    expect(adapter.hca.pollCq(cq, [emptyCompletion(), emptyCompletion()], 2)).toBe(2);
    expect(owner.unconsumed(cq)).toBe(2);
    expect(add(3)).toEqual(['CQ 0 ADD']);
    adapter.unconsumed = 0;
    expect(add(4)).toEqual(['CQ 0 POLL', 'CQ 0 POLL', 'CQ 0 ADD']);
    expect(adapter.calls.filter(each => each.startsWith('added'))).toEqual([
      'added 1 false',
      'added 2 true',
      'added 3 false',
      'added 4 false',
    ]);
    expect(adapter.told.book.broken).toBeUndefined();
  });

  it('[CQ-06] that overruns loses what completes there, of each of its queue pairs and directions', () => {
    const other = adapter.cq();
    const [owner] = adapter.cqOwners;
    const both = adapter.qp(cq);
    const sends = adapter.qp(cq, other);
    const recvs = adapter.qp(other, cq, QpType.RC);
    for (const qp of [both, sends, recvs]) {
      adapter.send(qp, 1);
      adapter.recv(qp, 2);
    }
    for (let i = 0; i < 4; i++) owner.completionAdded(cq, completion(i), false);
    adapter.qpOwners[0].sendRetired(both, 101);
    expect(adapter.by(() => owner.overran(cq))).toEqual([
      'CQ 0 LOSE',
      'SEND_WR 0 CQ_OVERRUN',
      'QP.UD 0 CQ_OVERRUN',
      'RECV_WR 1 CQ_OVERRUN',
      'QP.UD 1 CQ_OVERRUN',
      'SEND_WR 2 CQ_OVERRUN',
      'QP.RC 2 CQ_OVERRUN',
      'RECV_WR 5 CQ_OVERRUN',
    ]);
    expect(adapter.calls.at(-1)).toBe('overran');
    // What is posted behind it is lost at once, in the direction of that queue.
    expect(adapter.by(() => adapter.send(sends, 3))).toEqual([
      'SEND_WR 6 opened',
      'SEND_WR 6 POST_UNSIGNALED',
      'SEND_WR 6 CQ_OVERRUN',
      'QP.UD 1 POST_SEND',
    ]);
    expect(adapter.by(() => adapter.recv(sends, 3))).toEqual([
      'RECV_WR 7 opened',
      'RECV_WR 7 POST',
      'QP.UD 1 POST_RECV',
    ]);
    // A completion elsewhere is nobody's any more.
    expect(adapter.by(() => adapter.cqOwners[1].completionAdded(other, completion(9), false))).toEqual([
      'CQ 1 ADD',
    ]);
    // The owner has polled two meanwhile.
    adapter.polled = 4;
    adapter.unconsumed = 2;
    adapter.hca.pollCq(cq, [], 4);
    expect(adapter.by(() => owner.overran(cq)).slice(0, 3)).toEqual(['CQ 0 POLL', 'CQ 0 POLL', 'CQ 0 LOSE']);
  });
});

describe('a request at the adapter', () => {
  it('[CQ-01] [DATA-28] leaves its queue and completes: the completion behind it is its own, and no later one', () => {
    const qp = adapter.qp(cq);
    const [owner] = adapter.cqOwners;
    const [qpOwner] = adapter.qpOwners;
    expect(adapter.by(() => adapter.send(qp, 1, SendFlag.SIGNALED))).toEqual([
      'SEND_WR 0 opened',
      'SEND_WR 0 POST_SIGNALED',
      'QP.UD 0 POST_SEND',
    ]);
    expect(adapter.by(() => adapter.send(qp, 2, SendFlag.SOLICITED))).toContain('SEND_WR 1 POST_UNSIGNALED');
    expect(adapter.by(() => adapter.recv(qp, 3))).toEqual([
      'RECV_WR 2 opened',
      'RECV_WR 2 POST',
      'QP.UD 0 POST_RECV',
    ]);
    const done = (send: boolean, status: WcStatus): readonly string[] => {
      if (send) qpOwner.sendRetired(qp, 7);
      else qpOwner.recvRetired(qp, 8);
      return adapter.by(() => owner.completionAdded(cq, completion(1, { status }), false));
    };
    expect(adapter.by(() => qpOwner.sendRetired(qp, 7))).toEqual(['SEND_WR 0 CHAIN_RETURNED']);
    expect(
      adapter.by(() => owner.completionAdded(cq, completion(1, { status: WcStatus.SUCCESS }), false)),
    ).toEqual(['CQ 0 ADD', 'QP.UD 0 COMPLETION_SUCCESS_SEND', 'SEND_WR 0 COMPLETE_SUCCESS']);
    expect(adapter.by(() => owner.completionAdded(cq, completion(1), false))).toEqual(['CQ 0 ADD']);
    expect(done(true, WcStatus.LOC_PROT_ERR).slice(1)).toEqual([
      'QP.UD 0 COMPLETION_ERROR_SEND',
      'SEND_WR 1 COMPLETE_ERROR',
    ]);
    expect(done(false, WcStatus.WR_FLUSH_ERR).slice(1)).toEqual([
      'QP.UD 0 COMPLETION_FLUSH_RECV',
      'RECV_WR 2 COMPLETE_FLUSH',
    ]);
    // Nothing is left to leave.
    expect(adapter.by(() => qpOwner.recvRetired(qp, 9))).toEqual([]);
    expect(adapter.calls.slice(0, 4)).toEqual([
      'postSend 1 101',
      'postSend 2 102',
      'postRecv 3 103',
      'send retired 7',
    ]);
    expect(adapter.calls.at(-1)).toBe('recv retired 9');
  });

  it('is signaled by its flag or its queue pair; a malformed send by its queue pair alone', () => {
    const all = adapter.qp(cq, cq, QpType.UD, true);
    const some = adapter.qp(cq);
    expect(adapter.by(() => adapter.send(all, 1))[1]).toBe('SEND_WR 0 POST_SIGNALED');
    const { hca } = adapter;
    const status = WcStatus.LOC_QP_OP_ERR;
    expect(adapter.by(() => hca.postFaultySend(all, 1, status, 5))[1]).toBe('SEND_WR 1 POST_SIGNALED');
    expect(adapter.by(() => hca.postFaultySend(some, 1, status, 5))[1]).toBe('SEND_WR 2 POST_UNSIGNALED');
    expect(adapter.by(() => hca.postFaultyRecv(some, 2, status, 6))).toEqual([
      'RECV_WR 3 opened',
      'RECV_WR 3 POST',
      'QP.UD 1 POST_RECV',
    ]);
    expect(adapter.calls.slice(1)).toEqual([
      `postFaultySend 1 ${status} 5`,
      `postFaultySend 1 ${status} 5`,
      `postFaultyRecv 2 ${status} 6`,
    ]);
  });

  it('that is refused was never there', () => {
    const qp = adapter.qp(cq);
    adapter.send(qp, 1);
    adapter.within = () => {
      throw new Error('full');
    };
    expect(
      adapter.by(() => {
        expect(() => adapter.send(qp, 2)).toThrow('full');
      }),
    ).toEqual(['SEND_WR 1 opened', 'SEND_WR 1 POST_UNSIGNALED', 'SEND_WR 1 dropped']);
    expect(adapter.by(() => adapter.qpOwners[0].sendRetired(qp, 1))).toEqual(['SEND_WR 0 CHAIN_RETURNED']);
    expect(adapter.by(() => adapter.qpOwners[0].sendRetired(qp, 1))).toEqual([]);
  });

  it('[QP-48] may be flushed within the call', () => {
    const qp = adapter.qp(cq);
    adapter.within = () => {
      adapter.qpOwners[0].recvRetired(qp, 1);
      adapter.cqOwners[0].completionAdded(cq, completion(1, { status: WcStatus.WR_FLUSH_ERR }), false);
    };
    expect(adapter.by(() => adapter.recv(qp, 1))).toEqual([
      'RECV_WR 0 opened',
      'RECV_WR 0 POST',
      'RECV_WR 0 CHAIN_RETURNED',
      'CQ 0 ADD',
      'QP.UD 0 COMPLETION_FLUSH_RECV',
      'RECV_WR 0 COMPLETE_FLUSH',
      'QP.UD 0 POST_RECV',
    ]);
  });
});

describe('a queue pair at the adapter', () => {
  const statesOf = (key = 0): readonly string[] => {
    const monitor = adapter.told.book.get('QP.UD');
    return monitor.machine.namesOf(monitor.possible(key));
  };

  it('[QP-24] moves when the adapter has moved it, with the mask of what was given', () => {
    const qp = adapter.qp(cq);
    expect(statesOf()).toEqual(['RESET']);
    adapter.within = () => expect(statesOf()).toEqual(['RESET', 'INIT']);
    adapter.hca.modifyQp(qp, { qpState: QpState.INIT, qkey: 5 });
    expect(statesOf()).toEqual(['INIT']);
    adapter.hca.modifyQp(qp, { qkey: 6 });
    expect([statesOf(), adapter.told.book.broken]).toEqual([['INIT'], undefined]);
    adapter.state = QpState.INIT;
    expect(adapter.by(() => void adapter.hca.queryQp(qp))).toEqual(['QP.UD 0 OBSERVED_INIT']);
    expect(adapter.hca.queryQp(qp).qpState).toBe(QpState.INIT);
    adapter.hca.modifyQp(qp, { qpState: QpState.RTR, pathMtu: 1 });
    expect(adapter.told.book.broken?.law).toBe('machine QP.UD');
  });

  it('[QP-32] that is refused a change stays, and is wronged when nothing but its state was asked and that is legal', () => {
    const refuse = (
      attributes: Parameters<HcaFunction['modifyQp']>[1],
      state: QpState,
    ): string | undefined => {
      adapter = new Adapter();
      cq = adapter.cq();
      const qp = adapter.qp(cq);
      adapter.state = state;
      adapter.within = () => {
        throw new Error('EINVAL');
      };
      expect(() => adapter.hca.modifyQp(qp, attributes)).toThrow('EINVAL');
      return adapter.told.book.broken?.message;
    };
    expect(refuse({ qpState: QpState.RESET }, QpState.RESET)).toContain('met MODIFY_TO_RESET refused');
    expect(refuse({ qpState: QpState.RESET }, QpState.SQD)).toBeUndefined();
    expect(refuse({ qpState: QpState.INIT, qkey: 5 }, QpState.RESET)).toBeUndefined();
    expect(refuse({ qpState: QpState.RTS }, QpState.RESET)).toBeUndefined();
    expect(statesOf()).toEqual(['RESET']);
  });

  it('[QP-41] that is reset or destroyed discards what is left, and completes nothing of it', () => {
    const qp = adapter.qp(cq);
    const [qpOwner] = adapter.qpOwners;
    const leave = (): void => {
      qpOwner.sendRetired(qp, 1);
      qpOwner.recvRetired(qp, 2);
    };
    const ended: (string | undefined)[] = [];
    for (const end of [
      (): void => adapter.hca.modifyQp(qp, { qpState: QpState.RESET }),
      (): void => adapter.hca.destroyQp(qp),
    ]) {
      const first = adapter.numbers.wr;
      adapter.send(qp, 1);
      adapter.recv(qp, 2);
      adapter.within = leave;
      const heard = adapter.by(end);
      ended.push(heard.at(4));
      expect(heard.slice(0, 4)).toEqual([
        `SEND_WR ${first} CHAIN_RETURNED`,
        `RECV_WR ${first + 1} CHAIN_RETURNED`,
        `SEND_WR ${first} DISCARD`,
        `RECV_WR ${first + 1} DISCARD`,
      ]);
      expect(adapter.by(() => adapter.cqOwners[0].completionAdded(cq, completion(1), false))).toEqual([
        'CQ 0 ADD',
      ]);
    }
    expect(ended).toEqual([undefined, 'QP.UD 0 DESTROY']);
    expect(adapter.by(() => adapter.hca.destroyQp(qp))).toEqual([]);
    expect(adapter.by(() => adapter.cqOwners[0].overran(cq))).toEqual(['CQ 0 LOSE']);
    adapter.hca.modifyQp(qp, { qpState: QpState.INIT, qkey: 1 });
    adapter.send(qp, 1);
    expect(adapter.by(() => void adapter.hca.queryQp(qp))).toEqual([]);
  });

  it('discards nothing when the reset is refused, nor with another change', () => {
    const qp = adapter.qp(cq);
    const [qpOwner] = adapter.qpOwners;
    adapter.send(qp, 1);
    adapter.within = () => {
      throw new Error('EINVAL');
    };
    expect(() => adapter.hca.modifyQp(qp, { qpState: QpState.RESET })).toThrow('EINVAL');
    qpOwner.sendRetired(qp, 1);
    expect(
      adapter.by(() =>
        adapter.cqOwners[0].completionAdded(cq, completion(1, { status: WcStatus.WR_FLUSH_ERR }), false),
      ),
    ).toContain('SEND_WR 0 COMPLETE_FLUSH');
    adapter.send(qp, 2);
    adapter.within = () => qpOwner.sendRetired(qp, 2);
    expect(adapter.by(() => adapter.hca.modifyQp(qp, { qkey: 1 }))).not.toContain('SEND_WR 1 DISCARD');
  });

  it('of queues that the watch does not know is not watched', () => {
    adapter.hca.destroyCq(cq);
    expect(adapter.by(() => void adapter.qp(cq))).toEqual([]);
    const known = adapter.cq();
    expect(adapter.by(() => void adapter.qp(cq, known))).toEqual([]);
    expect(adapter.by(() => void adapter.qp(known, cq))).toEqual([]);
    expect(adapter.numbers.qp).toBe(0);
    expect(adapter.qpOwners).toHaveLength(3);
  });
});

describe('the watch of an adapter', () => {
  it('[RST-30] forgets everything at a reset, without a judgement', () => {
    const qp = adapter.qp(cq);
    adapter.send(qp, 1);
    adapter.recv(qp, 2);
    expect(adapter.by(() => adapter.hca.reset())).toEqual([
      'CQ 0 dropped',
      'QP.UD 0 dropped',
      'SEND_WR 0 dropped',
      'RECV_WR 1 dropped',
    ]);
    expect(adapter.calls.at(-1)).toBe('reset');
    expect(adapter.by(() => adapter.hca.reset())).toEqual([]);
    expect(adapter.by(() => adapter.hca.destroyCq(cq))).toEqual([]);
    expect(adapter.by(() => adapter.send(qp, 1))).toEqual([]);
  });

  it('hands on all that it has nothing to say of', () => {
    const { hca, inner } = adapter;
    expect([hca.attributes, hca.port]).toEqual([inner.attributes, inner.port]);
    const held = (): readonly number[] => [...adapter.real.inventory().values()];
    expect(held()).toEqual([1, 1, 0, 0, 0, 0]);
    hca.addGid(0, gidOf(0, 0));
    const memory = adapter.memory;
    const range = { iova: 0, length: 4096, pageBytes: 4096, pages: undefined };
    const mr = hca.registerMr(adapter.pd, { ...range, access: 1, memory });
    const ah = hca.createAh(adapter.pd, {
      dgid: gidOf(0, 0),
      sgidIndex: 0,
      flowLabel: 0,
      hopLimit: 1,
      trafficClass: 0,
    });
    expect(held()).toEqual([1, 1, 1, 1, 0, 1]);
    hca.deregisterMr(mr);
    hca.destroyAh(ah);
    hca.delGid(0);
    hca.destroyPd(adapter.pd);
    expect(held()).toEqual([0, 1, 0, 0, 0, 0]);
  });
});

/** The edges of the laws: what just breaks one, and what just does not. Each line of a law is decided by one of these. */
import { describe, expect, it } from 'vitest';
import { QpState, QpType, WcOpcode, WcStatus, WrOpcode, profiles } from '../../src/abi/index.js';
import { EventsAreArmed } from '../../src/conformance/invariants/events.js';
import { ExactlyOnce } from '../../src/conformance/invariants/exactly-once.js';
import { NothingWaits } from '../../src/conformance/invariants/rest.js';
import { UseCounts } from '../../src/conformance/invariants/use-counts.js';
import type { CqRecord, ObjectRecord, QpRecord, WrRecord } from '../../src/conformance/records.js';
import { completion, cqRecord, mrRecord, pdRecord, qpRecord } from './hand-made.js';

const { SUCCESS, WR_FLUSH_ERR, RETRY_EXC_ERR, LOC_PROT_ERR } = WcStatus;

/** A run of one queue pair, told to the law as it happens. */
class Told {
  readonly law = new ExactlyOnce();
  readonly qp: QpRecord;
  #next = 0;

  constructor(qp = qpRecord()) {
    this.qp = qp;
    this.law.created(qp);
  }

  post(change: Partial<WrRecord> = {}): WrRecord {
    const id = this.#next++;
    const request: WrRecord = {
      wrId: id,
      qp: this.qp,
      send: true,
      opcode: WrOpcode.SEND,
      signaled: true,
      id,
      state: 'posted',
      ...change,
    };
    (request.send ? this.qp.sends : this.qp.recvs).push(request);
    this.law.posted(request);
    return request;
  }
  recv(change: Partial<WrRecord> = {}): WrRecord {
    return this.post({ send: false, ...change });
  }
  complete(request: WrRecord, status: WcStatus = SUCCESS, opcode?: WcOpcode): void {
    const cq = request.send ? this.qp.sendCq : this.qp.recvCq;
    const usual = request.send ? WcOpcode.SEND : WcOpcode.RECV;
    this.law.completed(cq, completion(request.wrId, { status, opcode: opcode ?? usual }), request);
  }
  end(): void {
    this.law.ended();
  }
}

const broken = (run: () => void): RegExp | string => {
  try {
    run();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'no law';
};

describe('[CQ-01] a request that is done', () => {
  it('is accepted in posting order, on both queues, whatever the other does', () => {
    const told = new Told();
    const [a, b, c, d] = [told.post(), told.recv(), told.post(), told.recv()];
    for (const request of [b, a, d, c]) told.complete(request);
    told.end();
    expect([a, b, c, d].map(({ state }) => state)).toEqual(Array.from({ length: 4 }, () => 'completed'));
    expect([told.qp.sendsDone, told.qp.recvsDone]).toEqual([2, 2]);
  });

  it('may come behind its discarding, once', () => {
    const told = new Told();
    const request = told.post({ state: 'discarded' });
    told.complete(request);
    expect(request.state).toBe('completed');
    expect(broken(() => told.complete(request))).toContain('completed again (completed before)');
  });

  it('makes the unsignaled sends before it done by implication, and no receive', () => {
    const told = new Told();
    const silent = told.post({ signaled: false });
    const gone = told.post({ state: 'discarded' });
    told.complete(told.post());
    expect([silent.state, gone.state]).toEqual(['implied', 'discarded']);
    expect(broken(() => told.complete(silent))).toContain('is unsignaled and completed with success');
    expect(broken(() => told.complete(silent, WR_FLUSH_ERR))).toContain('(implied before)');
    const [first, second] = [told.recv({ signaled: false }), told.recv()];
    expect(broken(() => told.complete(second))).toContain(`before request ${first.wrId} of the same queue`);
  });

  it('is remembered as a place in its queue, which is cut when it has grown long', () => {
    const told = new Told(qpRecord(QpType.RC, cqRecord(2000)));
    const requests = Array.from({ length: 513 }, () => told.post());
    for (const request of requests.slice(0, 512)) told.complete(request);
    expect([told.qp.sends.length, told.qp.sendsDone]).toEqual([513, 512]);
    told.complete(requests[512]);
    expect([told.qp.sends.length, told.qp.sendsDone]).toEqual([0, 0]);
    told.complete(told.post());
    expect([told.qp.sends.length, told.qp.sendsDone]).toEqual([1, 1]);
  });

  it.each([
    [WrOpcode.SEND, WcOpcode.SEND],
    [WrOpcode.SEND_WITH_IMM, WcOpcode.SEND],
    [WrOpcode.RDMA_WRITE, WcOpcode.RDMA_WRITE],
    [WrOpcode.RDMA_WRITE_WITH_IMM, WcOpcode.RDMA_WRITE],
    [WrOpcode.RDMA_READ, WcOpcode.RDMA_READ],
  ])('of opcode %i says operation %i and no other', (opcode, wanted) => {
    for (const said of Object.values(WcOpcode)) {
      const told = new Told();
      const request = told.post({ opcode });
      expect(broken(() => told.complete(request, SUCCESS, said)) === 'no law', String(said)).toBe(
        said === wanted,
      );
    }
  });

  it('of a receive says that it is one, by a send or by a write', () => {
    for (const said of Object.values(WcOpcode)) {
      const told = new Told();
      const request = told.recv();
      const right = said === WcOpcode.RECV || said === WcOpcode.RECV_RDMA_WITH_IMM;
      expect(broken(() => told.complete(request, SUCCESS, said)) === 'no law', String(said)).toBe(right);
    }
  });

  it('says nothing of its operation when it failed, and may be unsignaled', () => {
    const told = new Told();
    told.complete(told.post({ signaled: false }), RETRY_EXC_ERR, WcOpcode.RECV);
    told.complete(told.post(), WR_FLUSH_ERR, WcOpcode.RECV);
  });

  it('was posted, on the queue pair that it names', () => {
    const told = new Told();
    told.law.created(pdRecord());
    const nobody = (): void => told.law.completed(told.qp.sendCq, completion(9), undefined);
    expect(broken(nobody)).toContain('completion of request 9 on cq0 of machine 0, which was never posted');
    const request = told.post();
    const elsewhere = (): void => told.law.completed(told.qp.sendCq, completion(0, { qpNum: 3 }), request);
    expect(broken(elsewhere)).toBe(
      'request 0 of qp0, machine 0 completed with queue pair number 3 instead of 2',
    );
    told.complete(request);
    told.end();
  });

  it('comes on the queue of its direction', () => {
    const told = new Told();
    const [send, recv] = [told.post(), told.recv()];
    const other = cqRecord();
    const qp: QpRecord = { ...told.qp, recvCq: other };
    const on = (cq: CqRecord, request: WrRecord) =>
      broken(() =>
        new ExactlyOnce().completed(cq, completion(request.wrId, { opcode: request.send ? 0 : 3 }), {
          ...request,
          qp,
        }),
      );
    expect(on(other, send)).toContain('instead of');
    expect(on(qp.sendCq, recv)).toContain('instead of');
  });
});

describe('[QP-48] behind an error', () => {
  it('RC flushes the rest of the same queue, and the other queue may still succeed', () => {
    const told = new Told();
    const [a, b, c] = [told.post(), told.post(), told.recv()];
    told.complete(a, RETRY_EXC_ERR);
    told.complete(c);
    expect(broken(() => told.complete(b))).toContain('succeeded behind an error');
    expect([told.qp.sendFailed, told.qp.recvFailed]).toEqual([true, false]);
    const other = new Told();
    const [d, e] = [other.recv(), other.recv()];
    other.complete(d, LOC_PROT_ERR);
    expect([other.qp.sendFailed, other.qp.recvFailed]).toEqual([false, true]);
    expect(broken(() => other.complete(e, LOC_PROT_ERR))).toContain('LOC_PROT_ERR instead of WR_FLUSH_ERR');
  });

  it('what was posted while a RESET was under way may succeed, before its answer is heard', () => {
    const told = new Told();
    told.complete(told.post(), RETRY_EXC_ERR);
    const lost = told.post();
    const [ahead, flushed] = [told.post({ behindReset: true }), told.recv({ behindReset: true })];
    told.complete(ahead);
    told.complete(flushed, WR_FLUSH_ERR);
    expect([ahead.state, flushed.state, told.qp.recvFailed]).toEqual(['completed', 'completed', false]);
    expect(broken(() => told.complete(ahead))).toContain('completed again');
    expect(broken(() => told.complete(lost))).toContain('succeeded behind an error');
  });

  it('RC flushes any number, and a flush may come first', () => {
    const told = new Told();
    for (const request of [told.post(), told.post(), told.post()]) told.complete(request, WR_FLUSH_ERR);
  });

  it('UC and UD go on, and may fail again', () => {
    for (const type of [QpType.UC, QpType.UD]) {
      const told = new Told(qpRecord(type));
      told.complete(told.post(), RETRY_EXC_ERR);
      told.complete(told.post());
      told.complete(told.post(), LOC_PROT_ERR);
    }
  });
});

describe('[CQ-33] at the end', () => {
  const left = (
    qp: Partial<QpRecord>,
    change: Partial<WrRecord> = {},
    type: QpType = QpType.RC,
  ): string | RegExp => {
    const told = new Told({ ...qpRecord(type), ...qp });
    told.post(change);
    return broken(() => told.end());
  };

  it('no signaled send is left, unless it may wait without end', () => {
    expect(left({})).toContain('never completed');
    expect(left({}, { signaled: false })).toBe('no law');
    expect(left({}, { state: 'discarded' })).toBe('no law');
    expect(left({ alive: false })).toBe('no law');
    expect(left({ state: QpState.SQD })).toBe('no law');
    expect(left({ attributes: { rnrRetry: 7 } })).toBe('no law');
    expect(left({ attributes: { rnrRetry: 6 } })).toContain('never completed');
    expect(left({ attributes: { timeout: 0 } })).toBe('no law');
    expect(left({ attributes: { timeout: 1 } })).toContain('never completed');
    expect(left({ attributes: { rnrRetry: 7, timeout: 0 } }, {}, QpType.UC)).toContain('never completed');
    expect(left({ sendsDone: 1 })).toBe('no law');
  });

  it('a receive may be left, but not in error', () => {
    const recv = { send: false } as const;
    expect(left({}, recv)).toBe('no law');
    expect(left({ state: QpState.ERR }, recv)).toContain('never completed');
    expect(left({ state: QpState.ERR }, recv, QpType.UD)).toContain('never completed');
    expect(left({ sendFailed: true }, recv)).toContain('never completed');
    expect(left({ recvFailed: true }, recv)).toContain('never completed');
    expect(left({ sendFailed: true }, recv, QpType.UC)).toBe('no law');
    expect(left({ recvsDone: 1, state: QpState.ERR }, recv)).toBe('no law');
    expect(left({ state: QpState.ERR, attributes: { timeout: 0 } })).toContain('never completed');
  });

  it('nothing is asked of a queue pair one of whose completion queues may have overrun', () => {
    const overran = { ...cqRecord(), overran: true };
    for (const cqs of [{ sendCq: overran }, { recvCq: overran }]) {
      expect(left(cqs)).toBe('no law');
      expect(left({ ...cqs, state: QpState.ERR }, { send: false })).toBe('no law');
    }
  });

  it('an overrun is possible as soon as more may complete than there is room for, and not before', () => {
    const told = new Told(qpRecord(QpType.RC, cqRecord(2)));
    const { sendCq } = told.qp;
    const first = told.post();
    told.recv();
    expect(sendCq.overran).toBe(false);
    told.complete(first);
    told.post();
    expect(sendCq.overran).toBe(false);
    told.post();
    expect(sendCq.overran).toBe(true);
  });

  it('a send that was done by implication makes room for one more', () => {
    const told = new Told(qpRecord(QpType.RC, cqRecord(2)));
    told.post({ signaled: false });
    told.complete(told.post());
    told.post();
    told.post();
    expect(told.qp.sendCq.overran).toBe(false);
    told.post();
    expect(told.qp.sendCq.overran).toBe(true);
  });
});

describe('[RST-01] what is in use', () => {
  const pd = () => pdRecord();
  const destroy = (law: UseCounts, object: ObjectRecord, between: () => void = () => undefined) => {
    law.destroyStarted(object);
    between();
    return broken(() => law.destroyed(object));
  };

  it('is a domain with a region, a handle or a queue pair, and a completion queue with a queue pair', () => {
    const qp = qpRecord();
    const recvCq = { ...cqRecord(), name: 'cq1' };
    const other: QpRecord = { ...qp, recvCq };
    for (const parent of [other.pd, other.sendCq, other.recvCq]) {
      const law = new UseCounts();
      law.created(other);
      expect(destroy(law, parent)).toContain('was destroyed while qp qp0 uses it');
    }
    const domain = pd();
    const law = new UseCounts();
    law.created({ ...mrRecord(domain), kind: 'ah' } as const);
    expect(destroy(law, domain)).toContain('while ah');
    expect(destroy(new UseCounts(), pd())).toBe('no law');
  });

  it('is free when its users are gone, or on their way', () => {
    for (const change of [{ alive: false }, { destroying: true }]) {
      const domain = pd();
      const law = new UseCounts();
      law.created({ ...mrRecord(domain), ...change });
      expect(destroy(law, domain)).toBe('no law');
    }
  });

  it('is judged by all of its users, and only by users', () => {
    const domain = pd();
    const law = new UseCounts();
    law.created(domain);
    law.created(cqRecord());
    law.created(mrRecord(domain));
    law.created({ ...mrRecord(domain), name: 'mr1', alive: false });
    expect(destroy(law, domain)).toContain('while mr mr0 uses it');
  });

  it('is not judged by a user whose own destroy was under way and came to nothing', () => {
    const domain = pd();
    const law = new UseCounts();
    const mr = { ...mrRecord(domain), destroying: true };
    law.created(mr);
    expect(destroy(law, domain, () => (mr.destroying = false))).toBe('no law');
  });

  it('is judged by what held it when the destroy was called and still does when it is done', () => {
    const domain = pd();
    const law = new UseCounts();
    const mr = mrRecord(domain);
    expect(destroy(law, domain, () => law.created(mr))).toBe('no law');
    const second = pd();
    const held = mrRecord(second);
    const other = new UseCounts();
    other.created(held);
    expect(destroy(other, second, () => (held.alive = false))).toBe('no law');
    const third = pd();
    const going = mrRecord(third);
    const last = new UseCounts();
    last.created(going);
    expect(destroy(last, third, () => (going.destroying = true))).toBe('no law');
  });

  it('[RST-03] is destroyed once, and nothing is made in what is gone', () => {
    const gone = { ...pd(), alive: false };
    expect(broken(() => new UseCounts().destroyed(gone))).toContain('was destroyed twice');
    expect(broken(() => new UseCounts().created(mrRecord(gone)))).toContain(
      'was created in pd pd0, which is destroyed',
    );
    const dead = { ...cqRecord(), alive: false };
    for (const change of [{ sendCq: dead }, { recvCq: dead }, { pd: gone }])
      expect(broken(() => new UseCounts().created({ ...qpRecord(), ...change }))).toContain(
        'which is destroyed',
      );
  });
});

describe('[VQ-31] at rest', () => {
  const map = profiles.roce.queues(16, 8);
  const waits = (qp: Partial<QpRecord>, queue: number, unread: number, held: number, vm = 0) => {
    const rings = { unread: (index: number) => (index === queue ? unread : 0), held: () => held };
    const law = new NothingWaits(new Map([[vm, rings]]), map);
    law.created({ ...qpRecord(), ...qp });
    return broken(() => law.ended());
  };

  it.each([
    ['send', map.sq(2), QpState.RTS],
    ['receive', map.rq(2), QpState.INIT],
  ] as const)('a %s waits only below its state, or without room', (name, queue, from) => {
    for (const state of Object.values(QpState)) {
      const said = waits({ state }, queue, 1, 0);
      if (state >= from) expect(said, String(state)).toContain(`1 ${name}(s) of qp0`);
      else expect(said, String(state)).toBe('no law');
    }
    expect(waits({}, queue, 2, 3)).toContain(`machine 0: 2 ${name}(s)`);
    expect(waits({}, queue, 2, 4)).toBe('no law');
    expect(waits({}, queue, 0, 0)).toBe('no law');
    expect(waits({ alive: false }, queue, 1, 0)).toBe('no law');
    expect(waits({ vm: 1 }, queue, 1, 0)).toBe('no law');
  });

  it('a command never waits', () => {
    expect(waits({}, map.control, 1, 0, 3)).toContain('machine 3: 1 command(s) in the control queue');
    expect(waits({}, map.control, 0, 0)).toBe('no law');
  });
});

describe('[CQ-37] an event', () => {
  it('comes at most once an arming, each queue by itself', () => {
    const law = new EventsAreArmed();
    const [a, b] = [cqRecord(), { ...cqRecord(), name: 'cq1', id: 1 }];
    expect(broken(() => law.event(b))).toContain('0 time');
    const other = new EventsAreArmed();
    other.actionStarted(0, { op: 'reqNotifyCq', vm: 0, cq: 'cq0', solicitedOnly: false });
    expect(broken(() => other.event(a))).toBe('no law');
    expect(broken(() => other.event(a))).toContain('2 event(s)');
  });

  it('is allowed by waiting too, and by nothing else', () => {
    const law = new EventsAreArmed();
    law.actionStarted(0, { op: 'waitCq', vm: 0, cq: 'cq0', solicitedOnly: false });
    law.actionStarted(1, { op: 'pollCq', vm: 0, cq: 'cq0' });
    const cq = cqRecord();
    expect(broken(() => law.event(cq))).toBe('no law');
    expect(broken(() => law.event(cq))).toContain('2 event(s) and was armed 1 time(s)');
  });
});

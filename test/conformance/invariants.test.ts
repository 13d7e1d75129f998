/** Each invariant can fail: a hand-made run breaks it. And each is exercised: what it looks at happens in generated programs. */
import { describe, expect, it } from 'vitest';
import { QpType, WcOpcode, WcStatus, WrOpcode, profiles } from '../../src/abi/index.js';
import { writeProgram } from '../../src/conformance/generate/program-arbitrary.js';
import { DataArrives } from '../../src/conformance/invariants/data.js';
import { EventsAreArmed } from '../../src/conformance/invariants/events.js';
import { ExactlyOnce } from '../../src/conformance/invariants/exactly-once.js';
import { MemoryUntouched } from '../../src/conformance/invariants/memory.js';
import { expectCleanReset } from '../../src/conformance/invariants/reset.js';
import { NothingWaits } from '../../src/conformance/invariants/rest.js';
import { UseCounts } from '../../src/conformance/invariants/use-counts.js';
import { judge } from '../../src/conformance/judge.js';
import { laws } from '../../src/conformance/laws.js';
import { patternBytes } from '../../src/conformance/patterns.js';
import type { QpRecord, WrRecord } from '../../src/conformance/records.js';
import { bareMetalWorld, paravirtualWorld } from '../../src/conformance/world.js';
import type { World } from '../../src/conformance/world.js';
import { completion, cqRecord, mrRecord, pdRecord, program, qpRecord } from './hand-made.js';

function post(judges: ExactlyOnce | DataArrives, qp: QpRecord, wrId: number, change: Partial<WrRecord> = {}) {
  const request: WrRecord = {
    wrId,
    qp,
    send: true,
    opcode: WrOpcode.SEND,
    signaled: true,
    id: wrId,
    state: 'posted',
    ...change,
  };
  (request.send ? qp.sends : qp.recvs).push(request);
  if (judges instanceof ExactlyOnce) judges.posted(request);
  return request;
}

describe('every work request completes exactly once', () => {
  it('[CQ-01] fails when a request completes twice', () => {
    const judge = new ExactlyOnce();
    const qp = qpRecord();
    const request = post(judge, qp, 0);
    judge.completed(qp.sendCq, completion(0), request);
    expect(() => judge.completed(qp.sendCq, completion(0), request)).toThrow('completed again');
  });

  it('[CQ-01] fails when nothing was posted', () => {
    expect(() => new ExactlyOnce().completed(cqRecord(), completion(9), undefined)).toThrow('never posted');
  });

  it('[CQ-33] fails when a request never completes', () => {
    const judge = new ExactlyOnce();
    const qp = qpRecord(QpType.UD);
    judge.created(qp);
    post(judge, qp, 0);
    expect(() => judge.ended()).toThrow('never completed');
  });

  it('[CQ-02] fails when an unsignaled send completes with success', () => {
    const judge = new ExactlyOnce();
    const qp = qpRecord();
    const request = post(judge, qp, 0, { signaled: false });
    expect(() => judge.completed(qp.sendCq, completion(0), request)).toThrow('unsignaled');
  });

  it('[ORD-01] fails when the second request completes first', () => {
    const judge = new ExactlyOnce();
    const qp = qpRecord();
    post(judge, qp, 0);
    const second = post(judge, qp, 1);
    expect(() => judge.completed(qp.sendCq, completion(1), second)).toThrow('before request 0');
  });

  it('[QP-48] fails when a request succeeds behind an error', () => {
    const judge = new ExactlyOnce();
    const qp = qpRecord();
    const first = post(judge, qp, 0);
    const second = post(judge, qp, 1);
    judge.completed(qp.sendCq, completion(0, { status: WcStatus.RETRY_EXC_ERR }), first);
    expect(() => judge.completed(qp.sendCq, completion(1), second)).toThrow('behind an error');
  });

  it('[CQ-19] fails when the queue pair, the queue or the operation is another', () => {
    const judge = new ExactlyOnce();
    const qp = qpRecord();
    const request = post(judge, qp, 0);
    expect(() => judge.completed(cqRecord(), completion(0), request)).toThrow('instead of');
    expect(() => judge.completed(qp.sendCq, completion(0, { qpNum: 3 }), request)).toThrow('number 3');
    const wrong = completion(0, { opcode: WcOpcode.RECV });
    expect(() => judge.completed(qp.sendCq, wrong, request)).toThrow('opcode');
  });
});

describe('what is in use is not destroyed', () => {
  it('[RST-01] fails when a domain goes before its region', () => {
    const judge = new UseCounts();
    const pd = pdRecord();
    judge.created(mrRecord(pd));
    judge.destroyStarted(pd);
    expect(() => judge.destroyed(pd)).toThrow('uses it');
  });

  it('[RST-03] fails when an object is destroyed twice, or made in one that is gone', () => {
    const judge = new UseCounts();
    const pd = { ...pdRecord(), alive: false };
    expect(() => judge.destroyed(pd)).toThrow('twice');
    expect(() => judge.created(mrRecord(pd))).toThrow('is destroyed');
  });
});

describe('an event needs an arming', () => {
  it('[CQ-37] fails at the second event of one arming', () => {
    const judge = new EventsAreArmed();
    const cq = cqRecord();
    judge.actionStarted(0, { op: 'reqNotifyCq', vm: 0, cq: 'cq0' });
    // To poll is not to arm.
    judge.actionStarted(1, { op: 'pollCq', vm: 0, cq: 'cq0' });
    judge.event(cq);
    expect(() => judge.event(cq)).toThrow('2 event(s)');
  });
});

describe('memory', () => {
  const world = (): World => bareMetalWorld(program, { profile: 'roce' });

  it('[ISO-08] fails when a byte changes that nobody may write', () => {
    const where = world();
    const judge = new MemoryUntouched(program, where);
    judge.ended();
    where.machines[0].guest.writeArena(100, Uint8Array.of(1, 2, 3));
    expect(() => judge.ended()).toThrow('no request covers it');
  });

  function receive(content: Uint8Array, byteLen: number): () => void {
    const where = world();
    const judge = new DataArrives(program, where);
    const qp = qpRecord();
    const send = post(judge, qp, 5);
    judge.posted(send, { opcode: 'SEND', inline: 8, sges: [] });
    const recv = post(judge, qp, 6, { send: false });
    judge.posted(recv, { sges: [{ at: 0, length: 32, mr: 'mr0' }] });
    where.machines[0].guest.writeArena(0, content);
    const done = completion(6, { opcode: WcOpcode.RECV, byteLen });
    return () => judge.completed(qp.recvCq, done, recv);
  }

  it('[DATA-47] fails when inline data arrives changed, and only then', () => {
    const sent = patternBytes(5, 8);
    expect(receive(sent, 8)).not.toThrow();
    expect(receive(sent.with(3, sent[3] ^ 1), 8)).toThrow('no message of that length and content');
  });

  it('[DATA-46] fails when a message arrives with another length', () => {
    expect(receive(patternBytes(5, 8), 7)).toThrow('got 7 bytes');
  });

  function transfer(opcode: WrOpcode, meddle: (arena: World) => void): () => void {
    const where = world();
    const judge = new DataArrives(program, where);
    const qp = qpRecord();
    const { guest } = where.machines[0];
    const request = post(judge, qp, 1, { opcode });
    const remote = { vm: 0, at: 1000, mr: 'mr0' };
    const sges = [{ at: 0, length: 16, mr: 'mr0' }];
    judge.posted(request, {
      opcode: opcode === WrOpcode.RDMA_READ ? 'RDMA_READ' : 'RDMA_WRITE',
      sges,
      remote,
    });
    const [from, to] = opcode === WrOpcode.RDMA_READ ? [1000, 0] : [0, 1000];
    guest.writeArena(to, guest.readArena(from, 16));
    meddle(where);
    const done = completion(1, {
      opcode: opcode === WrOpcode.RDMA_READ ? WcOpcode.RDMA_READ : WcOpcode.RDMA_WRITE,
    });
    return () => judge.completed(qp.sendCq, done, request);
  }

  it.each([
    ['write', WrOpcode.RDMA_WRITE, 1003],
    ['read', WrOpcode.RDMA_READ, 3],
  ] as const)('[DATA-37] fails when a %s puts another byte, and only then', (_name, opcode, at) => {
    expect(transfer(opcode, () => undefined)).not.toThrow();
    const meddle = ({ machines }: World): void => {
      const { guest } = machines[0];
      guest.writeArena(at, Uint8Array.of(guest.readArena(at, 1)[0] ^ 0xff));
    };
    expect(transfer(opcode, meddle)).toThrow('its byte 3');
  });
});

describe('at rest nothing waits that could be taken', () => {
  const map = profiles.roce.queues(16, 8);
  const rings = (waiting: number, held: number) =>
    new Map([[0, { unread: (queue: number) => (queue === waiting ? 1 : 0), held: () => held }]]);

  it('[VQ-31] fails when a command waits', () => {
    expect(() => new NothingWaits(rings(map.control, 0), map).ended()).toThrow('command');
  });

  it.each([
    ['send', map.sq(2)],
    ['receive', map.rq(2)],
  ] as const)('[DATA-33] fails when a %s waits although there is room', (name, queue) => {
    const judge = new NothingWaits(rings(queue, 3), map);
    judge.created(qpRecord());
    expect(() => judge.ended()).toThrow(`1 ${name}(s)`);
  });

  it('[DATA-29] lets requests wait while the queue pair has all that it may have', () => {
    const judge = new NothingWaits(rings(map.sq(2), 4), map);
    judge.created(qpRecord());
    expect(() => judge.ended()).not.toThrow();
  });
});

describe('a reset leaves nothing behind', () => {
  const started = () => paravirtualWorld(program, { profile: 'roce' });

  it('[RST-30] fails when the adapter keeps an object or a GID', async () => {
    const world = await started();
    world.machines[0].function.reset = () => undefined;
    world.machines[0].function.createPd();
    expect(() => expectCleanReset(world, () => [], 'now')).toThrow('protection domains');
    world.machines[0].function.addGid(0, 'fe800000000000000000000000000001');
    expect(() => expectCleanReset(world, () => [], 'now')).toThrow('GID');
  });

  it('[RST-31] fails when an interrupt comes or memory changes afterwards', async () => {
    const world = await started();
    const [machine] = world.machines;
    const { transport } = machine;
    if (transport === undefined) throw new Error('no transport');
    world.scheduler.post({ run: () => void transport.queueInterrupts++ });
    expect(() => expectCleanReset(world, () => [], 'now')).toThrow('interrupt');
    world.scheduler.post({ run: () => machine.guest.writeArena(7, Uint8Array.of(1, 2)) });
    expect(() => expectCleanReset(world, () => [], 'now')).toThrow('memory changed');
  });
});

describe('the invariants', () => {
  it.each([
    ['settled', 7919],
    ['racing', 3 * 7919],
  ] as const)('keep silent about a sound run, a %s one', async (mode, seed) => {
    const generated = writeProgram(seed, { mode, actionsMax: 60 });
    const { broken } = await judge(generated, { profile: 'roce' });
    expect(broken?.message).toBeUndefined();
  });

  it('laws have names of their own', () => {
    const names = Object.values(laws).map(each => each.name);
    expect(new Set(names).size).toBe(names.length);
  });
});

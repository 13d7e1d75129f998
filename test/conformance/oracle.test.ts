/** The oracle: two observations that differ in one thing only are told apart by that thing, and what is the implementation's to choose is not looked at. */
import { describe, expect, it } from 'vitest';
import { QpState, WcFlag, WcOpcode, WcStatus } from '../../src/abi/index.js';
import { compareMemory } from '../../src/conformance/compare-memory.js';
import {
  describeCompletion,
  expectAttributes,
  numbered,
  repeated,
  unexpected,
} from '../../src/conformance/expectations.js';
import type { CompletionWords } from '../../src/conformance/expectations.js';
import type { Program } from '../../src/conformance/program.js';
import { laws } from '../../src/conformance/laws.js';
import { Observation } from '../../src/conformance/observation.js';
import type { WrRecord } from '../../src/conformance/records.js';
import { bareMetalWorld } from '../../src/conformance/world.js';
import type { QpSnapshot, WorkCompletion } from '../../src/verbs/index.js';
import { completion, cqRecord, program, qpRecord } from './hand-made.js';

const cq = cqRecord();
const qp = qpRecord();

function request(send: boolean, of = qp): WrRecord {
  return { wrId: 1, qp: of, send, opcode: 0, signaled: true, id: 0, state: 'posted' };
}

function seen(note: (observation: Observation) => void): Observation {
  const observation = new Observation();
  note(observation);
  return observation;
}

/** What is said of two runs that each saw one completion. */
function told(
  ours: WorkCompletion,
  bare: WorkCompletion,
  [a, b] = [request(false), request(false)],
): string | undefined {
  const of = (done: WorkCompletion, record: WrRecord) =>
    seen(observation => observation.completion(cq, done, record));
  return of(ours, a).difference(of(bare, b));
}

describe('[OVR-10] two observations', () => {
  it('agree when they are empty, or the same', () => {
    const note = (observation: Observation): void => {
      observation.note(3, 'createPd', 'ok');
      observation.completion(cq, completion(1), request(true));
      observation.event(cq);
    };
    expect(seen(() => undefined).difference(seen(() => undefined))).toBeUndefined();
    expect(seen(note).difference(seen(note))).toBeUndefined();
  });

  it('differ in how an action came out, whichever has more to say', () => {
    const one = seen(observation => {
      observation.note(0, 'createPd', 'ok');
      observation.note(1, 'destroyPd', 'ok');
    });
    const other = seen(observation => {
      observation.note(0, 'createPd', 'ok');
      observation.note(1, 'destroyPd', 'EBUSY');
    });
    expect(one.difference(other)).toBe(
      'action 1 destroyPd came to ok; on bare metal action 1 destroyPd came to EBUSY',
    );
    const later = seen(observation => {
      observation.note(1, 'createPd', 'ok');
      observation.note(1, 'destroyPd', 'ok');
    });
    expect(one.difference(later)).toBe(
      'action 0 createPd came to ok; on bare metal action 1 createPd came to ok',
    );
    const shorter = seen(observation => observation.note(0, 'createPd', 'ok'));
    expect(one.difference(shorter)).toBe('action 1 destroyPd came to ok; on bare metal nothing');
    expect(shorter.difference(one)).toBe('nothing; on bare metal action 1 destroyPd came to ok');
  });

  it('differ in an event of a completion queue, and in the action during which it came', () => {
    const at = (action: number, id = 0) =>
      seen(observation => {
        observation.action = action;
        observation.event({ ...cq, id });
      });
    const none = seen(() => undefined);
    expect(at(2).difference(none)).toBe('event 0: of completion queue 0 during action 2; on bare metal none');
    expect(none.difference(at(2))).toBe('event 0: none; on bare metal of completion queue 0 during action 2');
    expect(at(2).difference(at(3))).toBe(
      'event 0: of completion queue 0 during action 2; on bare metal of completion queue 0 during action 3',
    );
    expect(at(2).difference(at(2, 1))).toContain('on bare metal of completion queue 1');
    const twice = seen(observation => {
      observation.action = 2;
      observation.event(cq);
      observation.event({ ...cq, id: 4 });
    });
    expect(twice.difference(at(2))).toBe(
      'event 1: of completion queue 4 during action 2; on bare metal none',
    );
  });
});

describe('[OVR-10] completions are compared', () => {
  const receive = (change: Partial<WorkCompletion>) => completion(7, { opcode: WcOpcode.RECV, ...change });

  it('by request, status, operation, length, flags and immediate data', () => {
    const { WITH_IMM, GRH } = WcFlag;
    const imm = receive({ wcFlags: WITH_IMM, immData: 5, byteLen: 9 });
    expect(told(imm, imm)).toBeUndefined();
    expect(told(imm, { ...imm, wrId: 8 })).toBe(
      'completion 0 of cq0 of machine 0, qp0 receives: request 7 SUCCESS RECV 9 bytes flags 2 imm 5; on bare metal request 8 SUCCESS RECV 9 bytes flags 2 imm 5',
    );
    for (const change of [
      { status: WcStatus.LOC_LEN_ERR },
      { opcode: WcOpcode.RECV_RDMA_WITH_IMM },
      { byteLen: 10 },
      { wcFlags: WITH_IMM | GRH },
      { immData: 6 },
    ])
      expect(told(imm, { ...imm, ...change }), JSON.stringify(change)).toContain('completion 0 of cq0');
  });

  it('of an error by request and status alone', () => {
    const failed = receive({ status: WcStatus.WR_FLUSH_ERR });
    const noise = { opcode: WcOpcode.SEND, byteLen: 3, wcFlags: 3, immData: 4, qpNum: 9, vendorErr: 8 };
    expect(told(failed, { ...failed, ...noise })).toBeUndefined();
    expect(told(failed, { ...failed, status: WcStatus.LOC_PROT_ERR })).toBe(
      'completion 0 of cq0 of machine 0, qp0 receives: request 7 WR_FLUSH_ERR; on bare metal request 7 LOC_PROT_ERR',
    );
  });

  it('without what an implementation may choose or need not say', () => {
    const chosen = { qpNum: 77, srcQp: 78, vendorErr: 79 };
    expect(told(receive({}), receive(chosen))).toBeUndefined();
    // Immediate data without its flag, and length and flags of a send, mean nothing.
    expect(told(receive({ immData: 1 }), receive({ immData: 2 }))).toBeUndefined();
    const send = completion(7, { opcode: WcOpcode.SEND });
    expect(told(send, { ...send, byteLen: 4, wcFlags: 3, immData: 9 })).toBeUndefined();
    const write = { ...send, opcode: WcOpcode.RDMA_WRITE };
    expect(told(write, { ...write, byteLen: 4 })).toBeUndefined();
  });

  it('of a read and of a receive that a write used by their lengths', () => {
    for (const opcode of [WcOpcode.RDMA_READ, WcOpcode.RECV_RDMA_WITH_IMM]) {
      const done = completion(7, { opcode, byteLen: 4 });
      expect(told(done, { ...done, byteLen: 5 })).toContain('4 bytes');
    }
    const read = completion(7, { opcode: WcOpcode.RDMA_READ, wcFlags: WcFlag.GRH });
    expect(told(read, { ...read, wcFlags: 0 })).toBeUndefined();
    const used = completion(7, { opcode: WcOpcode.RECV_RDMA_WITH_IMM, wcFlags: WcFlag.WITH_IMM, immData: 1 });
    expect(told(used, { ...used, immData: 2 })).toContain('imm 1');
  });

  it('in the order of each queue of each queue pair, and in no other', () => {
    const done = completion(1);
    const other = { ...qp, id: 1, name: 'qp1' };
    const run = (...records: readonly (WrRecord | undefined)[]) =>
      seen(observation => {
        for (const [i, record] of records.entries())
          observation.completion(cq, { ...done, wrId: record === undefined ? 9 : 1 + i - i }, record);
      });
    // Across queues the order is free.
    expect(run(request(true), request(false)).difference(run(request(false), request(true)))).toBeUndefined();
    expect(
      run(request(true), request(true, other)).difference(run(request(true, other), request(true))),
    ).toBeUndefined();
    // Which queue it was of is not.
    expect(run(request(true)).difference(run(request(false)))).toContain('qp0 sends: request 1 SUCCESS SEND');
    expect(run(request(true)).difference(run(request(true, other)))).toContain('on bare metal missing');
    expect(run().difference(run(request(true, other)))).toBe(
      'completion 0 of cq0 of machine 0, qp1 sends: missing; on bare metal request 1 SUCCESS SEND 0 bytes flags 0 imm 0',
    );
    expect(run(undefined).difference(run())).toContain('of machine 0, nobody: request 9');
    const order = (first: number, second: number) =>
      seen(observation => {
        for (const wrId of [first, second]) observation.completion(cq, { ...done, wrId }, request(true));
      });
    expect(order(1, 2).difference(order(2, 1))).toContain('completion 0 of');
    expect(order(1, 2).difference(order(1, 3))).toBe(
      'completion 1 of cq0 of machine 0, qp0 sends: request 2 SUCCESS SEND 0 bytes flags 0 imm 0; on bare metal request 3 SUCCESS SEND 0 bytes flags 0 imm 0',
    );
  });

  it('each in the stream of its queue, which no other has', () => {
    const queues = [undefined, ...[0, 1, 2, 3].flatMap(id => [true, false].map(send => ({ id, send })))];
    const streams = [0, 1, 2].flatMap(id => queues.map(queue => ({ id, queue })));
    const run = ({ id, queue }: (typeof streams)[number]) =>
      seen(observation => {
        const record = queue === undefined ? undefined : request(queue.send, { ...qp, id: queue.id });
        observation.completion({ ...cq, id }, completion(1), record);
      });
    for (const [i, one] of streams.entries())
      for (const [j, other] of streams.entries())
        expect(run(one).difference(run(other)) === undefined, JSON.stringify([one, other])).toBe(i === j);
  });

  it('of each completion queue by itself', () => {
    const on = (id: number) =>
      seen(observation => observation.completion({ ...cq, id }, completion(1), request(true)));
    expect(on(0).difference(on(1))).toContain('completion 0 of');
  });

  it('in words for codes that the tables do not have', () => {
    const odd = Object.assign(completion(7), { status: 99 });
    expect(told(odd, completion(7))).toContain('request 7 status 99;');
    expect(told(Object.assign(completion(7), { opcode: 98 }), completion(7))).toContain('SUCCESS 98 0 bytes');
  });
});

describe('[OVR-10] the memories of two worlds', () => {
  const two: Program = { ...program, hosts: [0, 0], arenaBytes: 12_288 };
  const world = () => bareMetalWorld(two, { profile: 'roce' });

  it('are compared byte by byte, machine by machine, the last byte too', () => {
    const [ours, bare] = [world(), world()];
    expect(compareMemory(ours, bare)).toBeUndefined();
    const { guest } = ours.machines[1];
    const last = guest.readArena(12_287, 1)[0];
    guest.writeArena(12_287, Uint8Array.of(last ^ 0xff));
    expect(compareMemory(ours, bare)).toBe(
      `byte 12287 of machine 1 ended as ${last ^ 0xff}; on bare metal ${last}`,
    );
    ours.machines[0].guest.writeArena(0, Uint8Array.of(ours.machines[0].guest.readArena(0, 1)[0] ^ 1));
    expect(compareMemory(ours, bare)).toContain('byte 0 of machine 0 ended as');
  });

  it('are compared around bytes that are free, whatever order and places those have', () => {
    const differing = (vm: number, at: number) => {
      const [ours, bare] = [world(), world()];
      const { guest } = ours.machines[vm];
      guest.writeArena(at, Uint8Array.of(guest.readArena(at, 1)[0] ^ 1));
      return (...free: readonly (readonly [vm: number, at: number, length: number])[]) =>
        compareMemory(
          ours,
          bare,
          free.map(([owner, start, length]) => ({ vm: owner, at: start, length })),
        ) !== undefined;
    };
    const middle = differing(1, 5000);
    expect(middle([1, 5000, 1])).toBe(false);
    expect(middle([1, 4000, 2000], [1, 100, 10], [1, 4100, 10])).toBe(false);
    expect(middle([1, -8, 6000], [1, 6000, 99_999], [1, 20_000, 4])).toBe(false);
    expect(middle([1, 4000, 1000])).toBe(true);
    expect(middle([1, 5001, 100])).toBe(true);
    expect(middle([1, -9000, 100], [1, 20_000, 4])).toBe(true);
    expect(middle([0, 5000, 1])).toBe(true);
    expect(differing(0, 12_287)([0, 12_000, 287])).toBe(true);
    expect(differing(0, 12_287)([0, 12_000, 288])).toBe(false);
  });
});

describe('what a program expects', () => {
  it('is repeated and numbered as often as it says', () => {
    const plain = [{ wr: 1 }, { wr: 2 }];
    expect(repeated(plain as readonly { wr: number; times?: number }[])).toBe(plain);
    expect(
      repeated([
        { a: 1, times: 2 },
        { a: 2, times: undefined },
      ]),
    ).toEqual([
      { a: 1, times: 2 },
      { a: 1, times: 2 },
      { a: 2, times: undefined },
    ]);
    expect(
      [...numbered([{ status: 'SUCCESS', wr: 4, times: 3 }, { status: 'SUCCESS' }])].map(({ wr }) => wr),
    ).toEqual([4, 5, 6, undefined]);
  });

  it('in vain is told with the action, what came and what was expected', () => {
    const told = unexpected(3, 'it came to this', 'that');
    expect([told.law, told.message]).toEqual([
      laws.expected.name,
      'action 3: it came to this, expected that',
    ]);
  });

  it('of attributes is held against every one that is named', () => {
    const snapshot: QpSnapshot = {
      qpState: QpState.SQD,
      sqDraining: true,
      pathMtu: 3,
      maxRdAtomic: 1,
      maxDestRdAtomic: 1,
      minRnrTimer: 1,
      timeout: 14,
      retryCnt: 1,
      rnrRetry: 1,
      qkey: 0,
      rqPsn: 0,
      sqPsn: 0,
      destQpNum: 0,
      qpAccessFlags: 5,
      rateLimit: 0,
      cap: qp.handle.cap,
      ahAttr: undefined,
    };
    expect(() => expectAttributes(3, snapshot, { draining: true, access: 5, timeout: 14 })).not.toThrow();
    expect(() => expectAttributes(3, snapshot, { timeout: undefined })).not.toThrow();
    expect(() => expectAttributes(3, snapshot, { timeout: 13 })).toThrow(
      'action 3: timeout is 14, expected 13',
    );
    expect(() => expectAttributes(3, snapshot, { draining: false })).toThrow(
      'draining is true, expected false',
    );
    expect(() => expectAttributes(3, snapshot, { access: 4 })).toThrow('access is 5, expected 4');
  });

  it('of a completion is said in its words, each member that it names', () => {
    const done = completion(7, { opcode: WcOpcode.RECV, byteLen: 3, immData: 4, wcFlags: 2, srcQp: 9 });
    const all: CompletionWords = {
      status: 'SUCCESS',
      opcode: 'RECV',
      byteLen: 0,
      imm: 0,
      flags: 0,
      from: { vm: 0, qp: 'qp1' },
      wr: 1,
    };
    expect(describeCompletion(done, all)).toBe('SUCCESS RECV 3 bytes imm 4 flags 2 from queue pair 9 wr 7');
    expect(describeCompletion(done, { status: 'SUCCESS' })).toBe('SUCCESS');
    expect(describeCompletion(done, undefined)).toBe('SUCCESS');
    expect(describeCompletion(Object.assign(done, { status: 99, opcode: 98 }), all)).toMatch(
      /^status 99 opcode 98 /,
    );
  });
});

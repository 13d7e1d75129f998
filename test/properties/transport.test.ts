/**
 * Laws of the transport, whatever the network loses, doubles or delays and whoever steps next.
 *
 * 1. Exactly once: over RC, every request completes with success, in order; every receive is used once, in order, with the
 *    bytes of its message; what was written or read is what was there.
 * 2. Honest failure: when the network may lose a packet for ever, each request still completes once: successes, then at
 *    most one error, then flushes; and the receiver has got at least what succeeded, in order, each once.
 * 3. Whole or nothing: a UC receive holds one whole message, and messages come in their order.
 * 4. Same faults: what a fabric does to a packet does not depend on who steps first.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QpState, SendFlag, WcStatus, WrOpcode } from '../../src/abi/index.js';
import { SeededChoices } from '../../src/fabric/index.js';
import { Pair, sameBytes } from '../reference/pair.js';

const { SEND, SEND_WITH_IMM, RDMA_WRITE, RDMA_WRITE_WITH_IMM, RDMA_READ } = WrOpcode;
const SLOT = 4096;
const RECEIVED = 32 * SLOT;

const message = fc.record({
  opcode: fc.constantFrom(SEND, SEND_WITH_IMM, RDMA_WRITE, RDMA_WRITE_WITH_IMM, RDMA_READ),
  length: fc.oneof(fc.nat(20), fc.integer({ min: 200, max: SLOT })),
  signaled: fc.boolean(),
  fence: fc.boolean(),
  /** Steps that pass before the request is posted. */
  pause: fc.nat(30),
});
type Message = typeof message extends fc.Arbitrary<infer M> ? M : never;

const world = fc.record({
  messages: fc.array(message, { minLength: 1, maxLength: 30 }),
  faults: fc.record({
    dropPer1024: fc.nat(400),
    duplicatePer1024: fc.nat(400),
    reorderPer1024: fc.nat(400),
  }),
  pathMtu: fc.constantFrom(1, 2, 3),
  psn: fc.constantFrom(0, 5, 0xff_fff0),
  seed: fc.nat(),
  maxRdAtomic: fc.integer({ min: 1, max: 4 }),
  /** Receives are posted only when nothing else happens any more. */
  lateReceives: fc.boolean(),
});

const usesReceive = ({ opcode }: Message): boolean => opcode !== RDMA_WRITE && opcode !== RDMA_READ;
const isSend = ({ opcode }: Message): boolean => opcode === SEND || opcode === SEND_WITH_IMM;

interface Posted {
  readonly request: Message;
  readonly index: number;
}

/**
 * Runs the messages one after the other, each from and to a slot of its own: sends fill receives, writes and reads move
 * bytes of the same offsets.
 */
function run(
  {
    messages,
    faults,
    pathMtu,
    psn,
    seed,
    maxRdAtomic,
    lateReceives,
  }: typeof world extends fc.Arbitrary<infer W> ? W : never,
  faultyTransmissions: number,
) {
  const pair = new Pair({
    choices: new SeededChoices(seed),
    faults: { ...faults, faultyTransmissions },
    faultSeed: seed,
  });
  const { a, b } = pair;
  const set = { pathMtu, sqPsn: psn, rqPsn: psn, retryCnt: 7, rnrRetry: 7, timeout: 3, maxRdAtomic };
  const [qa, qb] = pair.rc(set);
  a.memory.fill(0, RECEIVED, 1);
  b.memory.fill(0, RECEIVED, 101);
  const posted: Posted[] = messages.map((request, index) => ({ request, index }));
  const receives = posted.filter(({ request }) => usesReceive(request));
  const postReceives = (): void => {
    for (const { index } of receives) b.recv(qb, index, [b.sge(RECEIVED + index * SLOT, SLOT)]);
  };
  if (!lateReceives) postReceives();
  for (const { request, index } of posted) {
    for (let i = 0; i < request.pause; i++) pair.scheduler.step();
    a.send(qa, index, {
      opcode: request.opcode,
      sendFlags: (request.signaled ? SendFlag.SIGNALED : 0) | (request.fence ? SendFlag.FENCE : 0),
      immData: index,
      sges: [a.sge(index * SLOT, request.length)],
      remoteAddr: index * SLOT,
      rkey: b.mr.rkey,
    });
  }
  pair.settle();
  if (lateReceives) postReceives();
  while (pair.scheduler.endlessWaiting > 0 && receives.length > 0) {
    pair.scheduler.step();
    pair.settle();
  }
  return { pair, posted, receives, qa, qb };
}

describe('RC over a bad network', () => {
  it('[DATA-60] [DATA-61] [ORD-01] [ORD-02] [ORD-03] carries out everything exactly once and in order', () => {
    fc.assert(
      fc.property(world, options => {
        const { pair, posted, receives, qa } = run(options, 2);
        const { a, b } = pair;
        const signaled = posted.filter(({ request }) => request.signaled);
        expect(a.sends()).toEqual(signaled.map(({ index }) => [index, 'SUCCESS']));
        expect(a.retired).toEqual(posted.map(({ index }) => `s${index}`));
        expect(b.poll(b.recvCq)).toMatchObject(
          receives.map(({ request, index }) => ({
            wrId: index,
            status: WcStatus.SUCCESS,
            byteLen: request.length,
            immData: request.opcode === SEND ? 0 : index,
          })),
        );
        expect(a.state(qa)).toBe(QpState.RTS);
        for (const { request, index } of posted) {
          const here = index * SLOT;
          const there = isSend(request) ? RECEIVED + here : here;
          const arrived = b.memory.slice(there, request.length);
          expect(sameBytes(arrived, a.memory.slice(here, request.length))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('[ERR-22] [CQ-01] [QP-50] completes each request once when packets may be lost for ever', () => {
    fc.assert(
      fc.property(world, options => {
        const heavy = { ...options.faults, dropPer1024: options.faults.dropPer1024 + 300 };
        const { pair, posted, qa } = run({ ...options, faults: heavy, lateReceives: false }, Infinity);
        const { a, b } = pair;
        expect(a.retired).toEqual(posted.map(({ index }) => `s${index}`));
        const statuses = a.sends().map(([, status]) => status);
        const firstError = statuses.findIndex(status => status !== 'SUCCESS');
        const failed = firstError >= 0;
        expect(a.state(qa)).toBe(failed ? QpState.ERR : QpState.RTS);
        if (failed) {
          expect(['RETRY_EXC_ERR', 'RNR_RETRY_EXC_ERR']).toContain(statuses[firstError]);
          expect(new Set(statuses.slice(firstError + 1))).toEqual(
            new Set(statuses.length > firstError + 1 ? ['WR_FLUSH_ERR'] : []),
          );
        }
        const received = b.recvs().filter(([, status]) => status === 'SUCCESS');
        const expected = posted.filter(({ request }) => usesReceive(request)).map(({ index }) => index);
        expect(received.map(([wrId]) => wrId)).toEqual(expected.slice(0, received.length));
      }),
      { numRuns: 200 },
    );
  });
});

describe('UC over a lossy network', () => {
  it('[ORD-04] [ORD-06] [DATA-57] delivers whole messages in their order', () => {
    const options = fc.record({
      lengths: fc.array(fc.integer({ min: 4, max: SLOT }), { minLength: 1, maxLength: 30 }),
      dropPer1024: fc.nat(400),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(options, ({ lengths, dropPer1024, seed }) => {
        const pair = new Pair({ choices: new SeededChoices(seed), faults: { dropPer1024 }, faultSeed: seed });
        const { a, b } = pair;
        const [qa, qb] = pair.uc({ pathMtu: 1 });
        for (const index of lengths.keys()) b.recv(qb, index, [b.sge(index * SLOT, SLOT)]);
        for (const [index, length] of lengths.entries()) {
          a.memory.bytes.fill(index + 1, index * SLOT, index * SLOT + length);
          a.send(qa, index, { sges: [a.sge(index * SLOT, length)] });
        }
        pair.settle();
        expect(a.sends().length).toBe(lengths.length);
        let before = -1;
        for (const [slot, { byteLen }] of b.poll(b.recvCq).entries()) {
          const bytes = b.memory.slice(slot * SLOT, byteLen);
          const sent = bytes[0] - 1;
          expect(sent).toBeGreaterThan(before);
          expect(byteLen).toBe(lengths[sent]);
          expect(bytes.every(byte => byte === sent + 1)).toBe(true);
          before = sent;
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('the fabric', () => {
  it('loses the same datagrams whoever steps first', () => {
    const lost = (seed: number, order: number): string[] => {
      const pair = new Pair({
        choices: new SeededChoices(order),
        faults: { dropPer1024: 300 },
        faultSeed: seed,
      });
      const { a, b } = pair;
      const [qa, qb, ah] = pair.ud();
      const drops: string[] = [];
      pair.fabric.observe({
        sent() {},
        delivered() {},
        dropped: packet => drops.push(`${packet.sourceQpn} ${packet.psn}`),
      });
      const back = b.fn.createAh(b.pd, {
        dgid: a.gid,
        sgidIndex: 0,
        flowLabel: 0,
        hopLimit: 1,
        trafficClass: 0,
      });
      for (let i = 0; i < 20; i++) {
        b.recv(qb, i, [b.sge(0, 40)]);
        a.recv(qa, i, [a.sge(0, 40)]);
        a.send(qa, i, { ah, remoteQpn: qb.qpNum, remoteQkey: 0x1234 });
        b.send(qb, i, { ah: back, remoteQpn: qa.qpNum, remoteQkey: 0x1234 });
        if (order % 2 === 1) pair.scheduler.step();
      }
      pair.settle();
      return drops.toSorted();
    };
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (seed, one, other) => {
        expect(lost(seed, one)).toEqual(lost(seed, other));
      }),
      { numRuns: 100 },
    );
  });
});

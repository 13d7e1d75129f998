/** Cases about the requester of RC, opposite a peer that acknowledges late, in one go, in part or not at all. */
import type { ConformanceCase } from '../../cases/case.js';
import { WireBench } from './bench.js';
import { pairOf, successes } from './end.js';
import { Forger } from './forger.js';
import { RNR_NAK, is, isRequest, textOf } from './packets.js';
import { wireCase } from './wire-case.js';

const isSend = is('SEND_ONLY');
const isRead = is('READ_REQUEST');

/** Acknowledge time-out 8: 4.096 us times 2^8. */
const TIMEOUT = 8;
const TIMEOUT_NS = 4096 * 2 ** TIMEOUT;

const cumulative = wireCase(
  {
    id: 'DATA/wire/an-acknowledgement-is-one-of-all-before',
    doc: 'Nothing completes before it is acknowledged; one acknowledgement completes all sends before it, and neither a read nor what is behind one.',
    requirements: ['DATA-79', 'DATA-59'],
  },
  async context => {
    const forger = await Forger.opposite(context);
    const { bench, end } = forger;
    for (const wrId of [0, 1, 2]) end.send(wrId);
    end.read(3, 0, 8, { remoteAddr: 4096, rkey: 1 });
    end.send(4);
    await bench.rest();
    bench.same(['DATA-59'], 'completions before any answer', end.sends(), []);
    await forger.answer(4);
    const [done, after] = [
      end.sends(),
      'completions after an acknowledgement of packet 4, packet 3 being a read',
    ];
    bench.same(['DATA-79'], after, done, successes(0, 1, 2));
    forger.put('READ_RESPONSE_ONLY', 3, {}, new Uint8Array(8).fill(7));
    await bench.rest();
    await forger.answer(4);
    bench.same(['DATA-59'], 'completions when the response has come', end.sends(), successes(3, 4));
    const bytes = [...end.guest.readArena(0, 8)];
    bench.same(['DATA-79'], 'bytes of the read', bytes, [7, 7, 7, 7, 7, 7, 7, 7]);
    return bench;
  },
);

const resumed = wireCase(
  {
    id: 'DATA/wire/a-read-goes-on-where-it-broke-off',
    doc: 'A read whose second response is lost is asked for again from that one on when the third one comes.',
    requirements: ['DATA-80'],
  },
  async context => {
    const REMOTE = 5000;
    const forger = await Forger.opposite(context);
    const { bench, end } = forger;
    end.read(1, 0, 1000, { remoteAddr: REMOTE, rkey: 1 });
    await bench.rest();
    const part = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
    forger.put('READ_RESPONSE_FIRST', 0, {}, part(256, 1));
    forger.put('READ_RESPONSE_MIDDLE', 2, {}, part(256, 9));
    await bench.rest();
    bench.same(
      ['DATA-80'],
      'read requests, each with number, address and length',
      bench.heard(isRead).map(({ psn, virtualAddress, dmaLength }) => [psn, virtualAddress, dmaLength]),
      [
        [0, REMOTE, 1000],
        [1, REMOTE + 256, 744],
      ],
    );
    forger.put('READ_RESPONSE_FIRST', 1, {}, part(256, 2));
    forger.put('READ_RESPONSE_MIDDLE', 2, {}, part(256, 3));
    forger.put('READ_RESPONSE_LAST', 3, {}, part(232, 4));
    await bench.rest();
    bench.same(['DATA-80'], 'completions', end.sends(), successes(1));
    const firsts = [0, 256, 512, 768].map(at => end.guest.readArena(at, 1)[0]);
    bench.same(['DATA-80'], 'the first byte of each response in memory', firsts, [1, 2, 3, 4]);
    return bench;
  },
);

const depth = wireCase(
  {
    id: 'DATA/wire/reads-under-way',
    doc: 'With max_rd_atomic 2 a third read, and the send behind the reads, wait until a read has been answered.',
    requirements: ['DATA-62', 'DATA-63'],
  },
  async context => {
    const forger = await Forger.opposite(context, { maxRdAtomic: 2 });
    const { bench, end } = forger;
    const READS = 4;
    for (let wrId = 0; wrId < READS; wrId++) end.read(wrId, 64 * wrId, 8, { remoteAddr: 4096, rkey: 1 });
    end.send(READS);
    await bench.rest();
    const first = bench.heard(isRequest).map(textOf);
    bench.same(['DATA-62', 'DATA-63'], 'requests of 4 reads and a send before any answer', first, [
      'READ_REQUEST 0',
      'READ_REQUEST 1',
    ]);
    for (let answered = 0; answered < READS; answered++) {
      forger.put('READ_RESPONSE_ONLY', answered, {}, new Uint8Array(8));
      await bench.rest();
      const seen = bench.heard(isRequest);
      const next = answered + 2;
      bench.same(
        ['DATA-62'],
        `read requests when ${answered + 1} reads have been answered`,
        seen.filter(isRead).map(textOf),
        next < READS ? [`READ_REQUEST ${next}`] : [],
      );
      const early = next < READS - 1 ? seen.filter(isSend).map(textOf) : [];
      bench.same(['DATA-63'], `sends while read ${READS - 1} waits`, early, []);
    }
    await forger.answer(READS);
    bench.same(['DATA-63'], 'completions', end.sends(), successes(0, 1, 2, 3, 4));
    return bench;
  },
);

const silence = wireCase(
  {
    id: 'DATA/wire/tries-without-an-answer',
    doc: 'A send that is never answered goes retry_cnt + 1 times at most, a time-out apart at least, and one that is answered in time goes once.',
    requirements: ['DATA-81', 'DATA-67', 'ERR-19'],
  },
  async context => {
    const RETRIES = 2;
    const forger = await Forger.opposite(context, { timeout: TIMEOUT, retryCnt: RETRIES });
    const { bench, end } = forger;
    end.send(0);
    await bench.pass(TIMEOUT_NS - 10_000);
    forger.put('ACKNOWLEDGE', 0);
    await bench.rest();
    bench.hears(['DATA-67'], 'sends of a request that is answered just in time', ['SEND_ONLY 0'], isSend);
    bench.same(['DATA-67'], 'completions', end.sends(), successes(0));
    end.send(1);
    await bench.rest();
    const sent = bench.heard(isSend).filter(({ psn }) => psn === 1);
    const most = RETRIES + 1;
    if (sent.length > most)
      bench.accuse(
        ['DATA-81'],
        `sent ${sent.length} times with retry_cnt ${RETRIES}, expected ${most} at most`,
      );
    for (const [i, { atNs }] of sent.slice(1).entries()) {
      const waited = atNs - sent[i].atNs;
      if (waited < TIMEOUT_NS)
        bench.accuse(['DATA-67'], `sent again after ${waited} ns, expected ${TIMEOUT_NS} ns or more`);
    }
    bench.same(['ERR-19'], 'completions without an answer', end.sends(), ['1 RETRY_EXC_ERR']);
    return bench;
  },
);

/** Nanoseconds of some codes of the receiver-not-ready timer; code 0 is the longest of all. */
const rnrTimers: readonly (readonly [code: number, ns: number])[] = [
  [1, 10_000],
  [8, 160_000],
  [14, 1_280_000],
  [20, 10_240_000],
  [0, 655_360_000],
];

const rnrWait = wireCase(
  {
    id: 'DATA/wire/wait-while-not-ready',
    doc: 'A send that met a receiver-not-ready NAK goes again no earlier than the time in the NAK, whatever its code.',
    requirements: ['DATA-69', 'DATA-70'],
  },
  async context => {
    const forger = await Forger.opposite(context);
    const { bench, end } = forger;
    for (const [psn, [code, ns]] of rnrTimers.entries()) {
      end.send(psn);
      await bench.rest();
      const askedNs = bench.world.scheduler.nowNs;
      await forger.answer(psn, RNR_NAK | code);
      const again = bench.heard(isSend)[1]?.atNs;
      if (again === undefined)
        return bench.accuse(['DATA-70'], `not sent again after a receiver-not-ready NAK with timer ${code}`);
      if (again - askedNs < ns)
        bench.accuse(
          ['DATA-69'],
          `sent again ${again - askedNs} ns after a receiver-not-ready NAK with timer ${code}, expected ${ns} ns or more`,
        );
      await forger.answer(psn);
      bench.heard();
    }
    bench.same(['DATA-70'], 'completions', end.sends(), successes(...rnrTimers.keys()));
    return bench;
  },
);

const restored = wireCase(
  {
    id: 'DATA/wire/retries-are-given-anew',
    doc: 'With one retry of each kind, eight messages that each lose their first packet, and eight that each meet no receive, all arrive.',
    requirements: ['DATA-71', 'DATA-70', 'DATA-61'],
  },
  async context => {
    const MESSAGES = 8;
    const bench = await WireBench.of(context);
    const [a, b] = await pairOf(bench, { retryCnt: 1, rnrRetry: 1, timeout: TIMEOUT, minRnrTimer: 14 });
    const seen = new Set<number>();
    bench.lose(packet => isSend(packet) && seen.size < seen.add(packet.psn).size);
    for (let i = 0; i < MESSAGES; i++) {
      b.recv(i);
      a.send(i);
      await bench.rest();
      const what = `message ${i}, the first packet of each being lost, with retry_cnt 1`;
      bench.same(['DATA-71', 'DATA-61'], what, [a.sends(), b.receives()], [successes(i), successes(i)]);
    }
    bench.lose(() => false);
    for (let i = 0; i < MESSAGES; i++) {
      a.send(i);
      await bench.pass(100_000);
      b.recv(i);
      await bench.rest();
      const what = `message ${i}, each coming before its receive, with rnr_retry 1`;
      bench.same(['DATA-71', 'DATA-70'], what, [a.sends(), b.receives()], [successes(i), successes(i)]);
    }
    return bench;
  },
);

export const requesterCases: readonly ConformanceCase[] = [
  cumulative,
  resumed,
  depth,
  silence,
  rnrWait,
  restored,
];

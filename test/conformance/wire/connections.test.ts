/** Which packets the wire judge takes for those of one connection, whose answers it takes an answer for, and what it forgets. */
import { describe, expect, it } from 'vitest';
import type { Packet } from '../../../src/fabric/index.js';
import { WireJudge } from '../../../src/conformance/wire/index.js';
import type { WireJudgeOptions } from '../../../src/conformance/wire/index.js';
import { HERE, THERE, ack, judged, request, response, read, uc, ud } from './packets.js';

const ELSEWHERE = { gid: '00000000000000000000ffff0a000003', qpn: 19 };

const send = (psn: number): Packet => request('SEND_ONLY', psn, 8);
/** The packets of another pair between the same machines: 27 here and 28 there. */
const other = (psn: number): Packet => Object.assign(send(psn), { sourceQpn: 27, destQpn: 28 });
const otherAck = (psn: number, msn: number): Packet =>
  Object.assign(ack(psn, msn), { sourceQpn: 28, destQpn: 27 });

/** Events that were found broken, with somebody who interrupts behind the first packets. */
function brokenBy(
  options: WireJudgeOptions,
  before: readonly Packet[],
  act: (judge: WireJudge) => void,
  ...behind: readonly Packet[]
): string[] {
  const judge = new WireJudge(options);
  for (const packet of before) judge.take(packet);
  act(judge);
  for (const packet of behind) judge.take(packet);
  return judge.report().findings.map(({ event }) => event);
}

describe('a queue pair that is gone', () => {
  const known = { sourceKnown: true, complete: true } as const;
  const kinds = [
    ['a reliable connection', [send(5), send(9)], [HERE.qpn, THERE.qpn]],
    ['an unreliable connection', [uc('SEND_ONLY', 5, 8), uc('SEND_ONLY', 9, 8)], [HERE.qpn, THERE.qpn]],
    ['datagrams', [ud(5), ud(9)], [HERE.qpn]],
  ] as const;

  it.each(kinds)('leaves nothing behind of %s, whose numbers begin anew', (_, [first, later], ends) => {
    const gone = (qpn: number) => brokenBy(known, [first], judge => judge.forget(qpn), later);
    for (const qpn of [HERE.qpn, THERE.qpn])
      expect(gone(qpn)).toEqual((ends as readonly number[]).includes(qpn) ? [] : ['GAP']);
    // Another one, and one whose number stands for no queue pair.
    for (const qpn of [99, 1]) expect(gone(qpn)).toEqual(['GAP']);
    expect(brokenBy(known, [first], judge => judge.forgetAll(), later)).toEqual([]);
  });

  it('is known by its number at the other end, or by the answers to it where its own is not on the wire', () => {
    expect(brokenBy({}, [send(5)], judge => judge.forget(THERE.qpn), send(9))).toEqual([]);
    expect(brokenBy({}, [send(5)], judge => judge.forget(HERE.qpn), send(9))).toEqual(['GAP']);
    expect(brokenBy({}, [send(5), ack(5, 1)], judge => judge.forget(HERE.qpn), send(9))).toEqual([]);
    const unreliable = [uc('SEND_ONLY', 5, 8), uc('SEND_ONLY', 9, 8)] as const;
    expect(brokenBy({}, [unreliable[0]], judge => judge.forget(1), unreliable[1])).toEqual(['GAP']);
  });

  it('may have answers under way when all are reset, and they are not judged', () => {
    const judge = new WireJudge(known);
    judge.take(send(5));
    judge.forgetAll();
    for (const packet of [send(9), ack(20, 1)]) judge.take(packet);
    expect(judge.report()).toMatchObject({
      findings: [],
      unjudged: { 'an answer behind a reset of one end': 1 },
    });
  });
});

describe('connections', () => {
  it('are as many as there are ends that send', () => {
    const datagram = Object.assign(ud(5), { sourceQpn: 27 });
    const packets = [send(5), ack(5, 1), send(6), uc('SEND_ONLY', 5, 8), ud(5), datagram, ud(6)];
    expect(judged(packets)).toMatchObject({ packets: 7, connections: 4, findings: [] });
  });

  it('are told apart by the queue pair that sends, where it is known', () => {
    const third = (psn: number): Packet => Object.assign(send(psn), { sourceQpn: 27 });
    expect(judged([send(5), third(900), send(6), third(901)], { sourceKnown: true }).findings).toEqual([]);
  });

  it('are judged from their beginning when they begin anew, their answers too', () => {
    const again = [send(9_000_000), ack(9_000_000, 1), ack(9_000_001, 2)];
    const { findings } = judged([send(5), ack(5, 1), ...again]);
    expect(findings).toMatchObject([{ event: 'UNSENT' }]);
  });

  it('are named by service, machines and queue pair, a finding by its packet', () => {
    expect(judged([send(5), send(7)]).findings).toMatchObject([
      { connection: 'RC 10.0.0.1 > 10.0.0.2 qp 18', packet: 'RC SEND_ONLY qp 18 psn 7, 8 bytes' },
    ]);
  });

  it('do not come about by packets of which nothing is known', () => {
    const { unjudged, connections } = judged([Object.assign(send(5), { opcode: 0x1f })]);
    expect([Object.values(unjudged), connections]).toEqual([[1], 0]);
  });
});

describe('an answer', () => {
  const sound = (packets: readonly Packet[], options: WireJudgeOptions = {}) => {
    const { findings, unjudged } = judged(packets, options);
    expect([findings, unjudged]).toEqual([[], {}]);
  };

  it('goes to the connection between its machines', () => {
    const toElsewhere = Object.assign(send(5), { destinationGid: ELSEWHERE.gid });
    const fromElsewhere = Object.assign(send(5), { sourceGid: ELSEWHERE.gid });
    sound([send(5), toElsewhere, fromElsewhere, ack(5, 1)]);
  });

  it('goes to the connection of its queue pairs, where they are known', () => {
    sound([send(5), other(5), ack(5, 1), otherAck(5, 1)], { sourceKnown: true });
  });

  it('is not judged when two connections have sent what it answers, and none is known to be its own', () => {
    expect(judged([send(5), other(5), ack(5, 1)])).toMatchObject({
      findings: [],
      unjudged: { 'an answer of a connection whose requests were not seen': 1 },
    });
  });

  it('goes to the connection that had answers to the same queue pair before', () => {
    sound([send(4), ack(4, 1), send(5), other(5), ack(5, 2)]);
    sound([send(5), ack(5, 1), other(5), otherAck(5, 1)]);
  });

  it('tells that a connection was taken for its own wrongly, which is open again', () => {
    const wrong = (psn: number, msn: number): Packet => Object.assign(ack(psn, msn), { destQpn: 27 });
    sound([send(5), other(900), ack(5, 1), ack(900, 1), send(6), wrong(6, 2)]);
  });
});

describe('what only a lenient reading allows', () => {
  it('is counted, with the frame at which it came first', () => {
    const last = [read(6, 344, 4096 + 256), response('MIDDLE', 6, 256), response('LAST', 7, 88)];
    const packets = [
      read(5, 600),
      response('FIRST', 5, 256),
      response('MIDDLE', 6, 256),
      response('LAST', 7, 88),
    ];
    expect(judged([...packets, ...last, ...last]).lenient).toMatchObject([
      { requirement: 'DATA-89', count: 2, frame: 6 },
    ]);
  });
});

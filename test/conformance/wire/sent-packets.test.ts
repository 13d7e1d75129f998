/** What the wire judge keeps of packets that were sent: the newest, each by its number, and READs by those of their responses. */
import { describe, expect, it } from 'vitest';
import { SentPackets, answered, lastPsnOf, noteStart } from '../../../src/conformance/wire/sent-packets.js';
import { read, request } from './packets.js';

/** Packets that are kept. */
const WINDOW = 512;

describe('packets that were sent', () => {
  it('are known by their number until so many newer ones have come, and none before it was sent', () => {
    const sent = new SentPackets();
    expect([0, 1, 5].map(psn => sent.knows(psn))).toEqual([false, false, false]);
    const first = request('SEND_ONLY', 5, 8);
    sent.add(first, 3, 0);
    expect([sent.knows(5), sent.opcodeOf(5), sent.messagesAt(5)]).toEqual([true, first.opcode, 3]);
    expect([sent.knows(5 + WINDOW), sent.opcodeOf(5 + WINDOW), sent.messagesAt(6)]).toEqual([
      false,
      undefined,
      undefined,
    ]);
    sent.add(request('SEND_ONLY', 4 + WINDOW, 8), 4, 0);
    expect(sent.knows(5)).toBe(true);
    sent.add(request('SEND_ONLY', 5 + WINDOW, 8), 5, 0);
    expect([sent.knows(5), sent.messagesAt(5 + WINDOW)]).toEqual([false, 5]);
  });

  it('are counted again and again, anew behind each answer, and no further than 255', () => {
    const sent = new SentPackets();
    sent.add(request('SEND_ONLY', 5, 8), 1, 0);
    expect([sent.tryAgain(5, 0), sent.tryAgain(5, 0), sent.tryAgain(5, 1)]).toEqual([2, 3, 1]);
    for (let tries = 0; tries < 300; tries++) sent.tryAgain(5, 1);
    expect(sent.tryAgain(5, 1)).toBe(255);
  });
});

describe('READs that were sent', () => {
  it('are known by the numbers of all their responses, as soon as it is known how many there are', () => {
    const sent = new SentPackets();
    const one = sent.addRead(read(5, 600), 0, 2);
    expect([4, 5, 6].map(psn => sent.readAt(psn))).toEqual([undefined, one, undefined]);
    expect([lastPsnOf(one), answered(one)]).toEqual([5, false]);
    one.count = 3;
    expect([4, 5, 7, 8].map(psn => sent.readAt(psn))).toEqual([undefined, one, one, undefined]);
    expect([lastPsnOf(one), sent.messagesAt(7), sent.messagesAt(8)]).toEqual([7, 2, undefined]);
  });

  it('are unanswered until each response has been sent, the oldest first', () => {
    const sent = new SentPackets();
    const [one, two] = [sent.addRead(read(5, 600), 3, 1), sent.addRead(read(8, 10), 1, 2)];
    expect([4, 5, 9].map(psn => sent.unansweredUpTo(psn))).toEqual([undefined, one, one]);
    one.responded = 2;
    expect(answered(one)).toBe(false);
    one.responded = 3;
    expect([answered(one), sent.unansweredUpTo(7), sent.unansweredUpTo(8)]).toEqual([true, undefined, two]);
  });

  it('are kept, the newest 64', () => {
    const sent = new SentPackets();
    for (let psn = 0; psn < 64; psn++) sent.addRead(read(psn, 10), 1, psn);
    expect([sent.readAt(0)?.psn, sent.readAt(63)?.psn]).toEqual([0, 63]);
    sent.addRead(read(64, 10), 1, 64);
    expect([sent.readAt(0), sent.readAt(1)?.psn, sent.readAt(64)?.psn]).toEqual([undefined, 1, 64]);
  });

  it('remember once each from where they were asked for: from the beginning, and the latest', () => {
    const one = new SentPackets().addRead(read(5, 100_000), 100, 1);
    for (const psn of [6, 6, 5, 7, 8, 9, 10, 11, 12]) noteStart(one, psn);
    expect(one.starts).toEqual([5, 6, 7, 8, 9, 10, 11, 12]);
    noteStart(one, 13);
    expect(one.starts).toEqual([5, 7, 8, 9, 10, 11, 12, 13]);
  });
});

/** Cases about the responder of RC and UC, opposite a peer whose packets come out of order, too early or once more. */
import type { ConformanceCase } from '../../cases/case.js';
import { successes } from './end.js';
import { Forger } from './forger.js';
import { isReadResponse, textOf } from './packets.js';
import { wireCase } from './wire-case.js';

const gap = wireCase(
  {
    id: 'DATA/wire/a-gap-is-asked-for-once',
    doc: 'Packets that come ahead of their number are answered with one NAK of sequence error until the expected one comes.',
    requirements: ['DATA-75'],
  },
  async context => {
    const forger = await Forger.opposite(context);
    const { bench, end } = forger;
    for (const wrId of [0, 1, 2]) end.recv(wrId);
    await forger.send('SEND_ONLY', 1);
    await forger.send('SEND_ONLY', 2);
    bench.hears(['DATA-75'], 'answers to packets 1 and 2 before packet 0', ['NAK of sequence error 0']);
    await forger.send('SEND_ONLY', 0);
    bench.hears(['DATA-75', 'DATA-60'], 'answers to packet 0 behind them', ['ACK 0']);
    await forger.send('SEND_ONLY', 2);
    bench.hears(['DATA-75'], 'answers to packet 2 before packet 1', ['NAK of sequence error 1']);
    bench.same(['DATA-75', 'DATA-60'], 'receives that completed', end.receives(), successes(0));
    return bench;
  },
);

const notReady = wireCase(
  {
    id: 'DATA/wire/silence-while-not-ready',
    doc: 'Behind a receiver-not-ready NAK, which names min_rnr_timer, later packets meet silence until the one that met it comes again.',
    requirements: ['DATA-76', 'DATA-69', 'DATA-70'],
  },
  async context => {
    const MIN_RNR_TIMER = 5;
    const forger = await Forger.opposite(context, { minRnrTimer: MIN_RNR_TIMER });
    const { bench, end } = forger;
    await forger.send('SEND_ONLY', 0);
    const [nak] = bench.wire.filter(({ forged }) => !forged);
    bench.hears(['DATA-76', 'DATA-70'], 'answers to a send that meets no receive', ['RNR NAK 0']);
    bench.same(['DATA-69'], 'the timer code of the receiver-not-ready NAK', nak.syndrome & 31, MIN_RNR_TIMER);
    await forger.send('SEND_ONLY', 1);
    await forger.send('SEND_ONLY', 2);
    bench.hears(['DATA-76'], 'answers to later packets', []);
    for (const wrId of [0, 1]) end.recv(wrId);
    await forger.send('SEND_ONLY', 1);
    bench.hears(['DATA-76'], 'answers to a later packet now that there are receives', []);
    await forger.send('SEND_ONLY', 0);
    await forger.send('SEND_ONLY', 1);
    bench.hears(['DATA-70', 'DATA-76'], 'answers when both come again in turn', ['ACK 0', 'ACK 1']);
    bench.same(['DATA-70'], 'receives that completed', end.receives(), successes(0, 1));
    return bench;
  },
);

const repeatedRequest = wireCase(
  {
    id: 'DATA/wire/a-repeated-request-is-only-acknowledged',
    doc: 'Sends and writes that come again change nothing, and are answered with an acknowledgement of the newest packet if they ask.',
    requirements: ['DATA-77', 'DATA-60'],
  },
  async context => {
    const forger = await Forger.opposite(context);
    const { bench, end } = forger;
    for (let wrId = 0; wrId < 4; wrId++) end.recv(wrId, end.sges(64 * wrId, 8));
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const write = { ...placeOf(end.remote(1024)), dmaLength: 4 };
    for (const psn of [0, 1]) forger.put('SEND_ONLY', psn, {}, bytes);
    forger.put('WRITE_ONLY', 2, write, bytes);
    await bench.rest();
    bench.same(['DATA-60'], 'receives that two sends and a write completed', end.receives(), successes(0, 1));
    const changed = Uint8Array.of(9, 9, 9, 9);
    for (const at of [0, 64, 1024]) end.guest.writeArena(at, changed);
    bench.heard();
    await forger.send('SEND_ONLY', 0, { ackRequest: false, payloadLength: 4 });
    bench.hears(['DATA-77'], 'answers to a repeated send that asks for none', []);
    await forger.send('SEND_ONLY', 1, { payloadLength: 4 });
    bench.hears(['DATA-77'], 'answers to a repeated send, 2 being the newest packet', ['ACK 2']);
    forger.put('WRITE_ONLY', 2, write, bytes);
    await bench.rest();
    bench.hears(['DATA-77'], 'answers to a repeated write', ['ACK 2']);
    bench.same(['DATA-60', 'DATA-77'], 'receives that the repeated packets completed', end.receives(), []);
    for (const at of [0, 64, 1024]) {
      const now = [...end.guest.readArena(at, 4)];
      bench.same(['DATA-60', 'DATA-77'], `memory at ${at} behind the repeated packets`, now, [...changed]);
    }
    return bench;
  },
);

const repeatedRead = wireCase(
  {
    id: 'DATA/wire/a-repeated-read-is-read-anew',
    doc: 'A read that comes again is answered from memory as it is then, from the response on that it asks for, and not at all once its region is gone.',
    requirements: ['DATA-78', 'RST-16'],
  },
  async context => {
    const forger = await Forger.opposite(context);
    const { bench, end } = forger;
    const { virtualAddress, rkey } = placeOf(end.remote(0));
    const whole = { virtualAddress, rkey, dmaLength: 600 };
    const fill = (byte: number): void => end.guest.writeArena(0, new Uint8Array(600).fill(byte));
    fill(1);
    await forger.send('READ_REQUEST', 0, whole);
    const answered = (byte: number, what: string, texts: readonly string[]): void => {
      const packets = bench.heard();
      bench.same(['DATA-78'], `responses to ${what}`, packets.map(textOf), texts);
      const seen = [...new Set(packets.flatMap(({ payload }) => [...payload]))];
      bench.same(['DATA-78'], `bytes in the responses to ${what}, the memory holding ${byte}`, seen, [byte]);
    };
    const first = ['READ_RESPONSE_FIRST 0', 'READ_RESPONSE_MIDDLE 1', 'READ_RESPONSE_LAST 2'];
    answered(1, 'a read', first);
    fill(2);
    await forger.send('READ_REQUEST', 0, whole);
    answered(2, 'the same read again', first);
    fill(3);
    await forger.send('READ_REQUEST', 1, { ...whole, virtualAddress: virtualAddress + 256, dmaLength: 344 });
    answered(3, 'the same read again from byte 256 on', ['READ_RESPONSE_FIRST 1', 'READ_RESPONSE_LAST 2']);
    await bench.call('deregMr', end.machine.verbs.deregMr(end.belongings.mr));
    await forger.send('READ_REQUEST', 0, whole);
    const leaked = bench.heard(isReadResponse).map(textOf);
    bench.same(['DATA-78', 'RST-16'], 'responses to the read again, its region being gone', leaked, []);
    return bench;
  },
);

const manyReads = wireCase(
  {
    id: 'DATA/wire/reads-answered-together',
    doc: 'As many reads as max_dest_rd_atomic that arrive together are all answered, in order and from the right memory.',
    requirements: ['DATA-64'],
  },
  async context => {
    const READS = 4;
    const forger = await Forger.opposite(context, { maxDestRdAtomic: READS });
    const { bench, end } = forger;
    for (let i = 0; i < READS; i++) {
      end.guest.writeArena(1024 * i, new Uint8Array(600).fill(i + 1));
      forger.put('READ_REQUEST', 3 * i, { ...placeOf(end.remote(1024 * i)), dmaLength: 600 });
    }
    await bench.rest();
    const seen = bench.heard().map(packet => [textOf(packet), packet.payload[0]]);
    const parts = ['FIRST', 'MIDDLE', 'LAST'];
    const expected = Array.from({ length: 3 * READS }, (_, psn) => [
      `READ_RESPONSE_${parts[psn % 3]} ${psn}`,
      1 + Math.floor(psn / 3),
    ]);
    bench.same(['DATA-64'], `responses to ${READS} reads, each with its first byte`, seen, expected);
    return bench;
  },
);

const unreliable = wireCase(
  {
    id: 'DATA/wire/uc-takes-any-first-number',
    doc: 'Messages on UC are taken whatever the number of their first packet, ahead, behind and across 2^24.',
    requirements: ['DATA-58'],
    services: ['UC'],
  },
  async context => {
    const forger = await Forger.opposite(context, {}, { service: 'UC' });
    const { bench, end } = forger;
    for (let wrId = 0; wrId < 4; wrId++) end.recv(wrId, end.sges(1024 * wrId, 1024));
    await forger.send('SEND_ONLY', 7, { payloadLength: 4 });
    await forger.send('SEND_ONLY', 3, { payloadLength: 4 });
    await forger.send('SEND_ONLY', 0x80_0000, { payloadLength: 4 });
    await forger.send('SEND_FIRST', 0xff_ffff, { payloadLength: 256 });
    await forger.send('SEND_LAST', 0, { payloadLength: 4 });
    bench.same(
      ['DATA-58'],
      'receives after messages that begin with packet 7, 3, 8388608 and 16777215',
      end.receives(),
      successes(0, 1, 2, 3),
    );
    return bench;
  },
);

const unreliableHoles = wireCase(
  {
    id: 'DATA/wire/uc-drops-a-message-with-a-hole',
    doc: 'A UC message of which any packet is missing completes no receive, and the next whole one uses the receive.',
    requirements: ['DATA-57', 'ORD-04', 'DATA-46'],
    services: ['UC'],
  },
  async context => {
    const forger = await Forger.opposite(context, {}, { service: 'UC' });
    const { bench, end } = forger;
    const parts = ['SEND_FIRST', 'SEND_MIDDLE', 'SEND_LAST'] as const;
    end.recv(1, end.sges(0, 1024));
    end.recv(2, end.sges(1024, 1024));
    await forger.send('SEND_ONLY', 0, { payloadLength: 4 });
    bench.same(['DATA-46'], 'receives after a whole message', end.receives(), successes(1));
    for (const [missing, part] of parts.entries()) {
      const first = 1 + 3 * missing;
      for (const [i, each] of parts.entries()) {
        if (i === missing) continue;
        await forger.send(each, first + i, { payloadLength: each === 'SEND_LAST' ? 8 : 256 });
      }
      bench.same(
        ['DATA-57', 'ORD-04', 'DATA-46'],
        `receives after a message without its ${part}`,
        end.receives(),
        [],
      );
    }
    await forger.send('SEND_ONLY', 10, { payloadLength: 5 });
    const seen = end.polledReceives().map(({ wrId, byteLen }) => [wrId, byteLen]);
    bench.same(['DATA-57', 'DATA-46'], 'wr_id and length of the next whole message', seen, [[2, 5]]);
    return bench;
  },
);

/** A place in memory as a packet names it. */
function placeOf({ remoteAddr, rkey }: { readonly remoteAddr: number; readonly rkey: number }) {
  return { virtualAddress: remoteAddr, rkey };
}

export const responderCases: readonly ConformanceCase[] = [
  gap,
  notReady,
  repeatedRequest,
  repeatedRead,
  manyReads,
  unreliable,
  unreliableHoles,
];

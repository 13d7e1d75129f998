/** The judge of the wire: a fault planted in each rule is seen at its packet, and what the middle cannot know is no fault. */
import { describe, expect, it } from 'vitest';
import type { Packet } from '../../../src/fabric/index.js';
import { WIRE_MACHINES } from '../../../src/conformance/wire/tables.js';
import { WireJudge } from '../../../src/conformance/wire/index.js';
import { machineByName } from '../../../src/statemachines/index.js';
import { Told } from '../told.js';
import {
  HERE,
  INVALID_REQUEST,
  NOT_READY,
  SEQUENCE_ERROR,
  ack,
  atomicAck,
  judged,
  read,
  request,
  response,
  uc,
  ud,
} from './packets.js';

const write = (
  operation: 'WRITE_FIRST' | 'WRITE_ONLY',
  psn: number,
  bytes: number,
  dmaLength: number,
): Packet => request(operation, psn, bytes, { dmaLength, virtualAddress: 64, rkey: 7 });
const atomic = (psn: number, operation: 'COMPARE_SWAP' | 'FETCH_ADD' = 'COMPARE_SWAP'): Packet =>
  request(operation, psn, 0, { virtualAddress: 64, rkey: 7 });
const send = (psn: number, bytes = 8): Packet => request('SEND_ONLY', psn, bytes);

/** A message that tells the path MTU, and a READ of three responses behind it. */
const message256 = [request('SEND_FIRST', 3, 256), request('SEND_LAST', 4, 1)];
const answeredRead = [
  ...message256,
  read(5, 600),
  response('FIRST', 5, 256, 2),
  response('MIDDLE', 6, 256),
  response('LAST', 7, 88, 2),
];

/** As far from the number expected as a packet of the same connection can be. */
const FAR = 65_536;

/** The last packet of each breaks the rule. */
const planted: readonly (readonly [
  machine: string,
  event: string,
  requirement: string,
  packets: readonly Packet[],
  detail: string,
])[] = [
  ['WIRE.REQUESTS', 'GAP', 'DATA-74', [send(5), send(7)], 'psn 7, expected 6'],
  ['WIRE.REQUESTS', 'GAP', 'DATA-74', [send(5), send(6), send(7), send(5), send(7)], 'psn 7, expected 6'],
  [
    'WIRE.REQUESTS',
    'GAP',
    'DATA-74',
    [request('SEND_FIRST', 0, 1024), request('SEND_LAST', 1, 5), read(2, 4000), send(7)],
    'psn 7, expected 6',
  ],
  ['WIRE.REQUESTS', 'GAP', 'DATA-74', [send(5), send(6 + FAR)], 'expected 6'],
  [
    'WIRE.REQUESTS',
    'GAP',
    'DATA-74',
    [request('SEND_FIRST', 5, 256), request('SEND_LAST', 7 + FAR, 8)],
    'expected 6',
  ],
  [
    'WIRE.REQUESTS',
    'WRITE_LAST',
    'DATA-73',
    [request('SEND_MIDDLE', 5, 256), request('WRITE_LAST', 6, 8)],
    'psn 6',
  ],
  [
    'WIRE.REQUESTS',
    'SEND_LAST',
    'DATA-73',
    [request('WRITE_MIDDLE', 5, 256), request('SEND_LAST', 6, 8)],
    'psn 6',
  ],
  // No path MTU is so small that the READ has more than three responses.
  ['WIRE.REQUESTS', 'GAP', 'DATA-74', [read(5, 600), send(9)], 'psn 9, expected 8'],
  ['WIRE.REQUESTS', 'GAP', 'DATA-74', [send(5), send(6), send(5), send(7)], 'psn 7, expected 6'],
  [
    'WIRE.REQUESTS',
    'GAP',
    'DATA-74',
    [send(5), send(6), send(7), send(5), ack(5, 1), send(8)],
    'psn 8, expected 6',
  ],
  ['WIRE.REQUESTS', 'SEND_MIDDLE', 'DATA-73', [send(5), request('SEND_MIDDLE', 6, 256)], 'psn 6'],
  [
    'WIRE.REQUESTS',
    'WRITE_LAST',
    'DATA-73',
    [request('SEND_FIRST', 5, 256), request('WRITE_LAST', 6, 10)],
    'psn 6',
  ],
  ['WIRE.REQUESTS', 'SEND_ONLY', 'DATA-73', [write('WRITE_FIRST', 5, 256, 300), send(6)], 'psn 6'],
  ['WIRE.REQUESTS', 'READ', 'DATA-73', [request('SEND_FIRST', 5, 256), read(6, 10)], 'psn 6'],
  ['WIRE.REQUESTS', 'WRONG_SIZE', 'DATA-73', [request('SEND_FIRST', 5, 255)], 'payload of 255 bytes'],
  [
    'WIRE.REQUESTS',
    'WRONG_SIZE',
    'DATA-73',
    [request('SEND_FIRST', 5, 256), request('SEND_MIDDLE', 6, 512)],
    'path MTU 256',
  ],
  [
    'WIRE.REQUESTS',
    'WRONG_SIZE',
    'DATA-73',
    [request('SEND_FIRST', 5, 256), request('SEND_LAST', 6, 0)],
    'at least one',
  ],
  [
    'WIRE.REQUESTS',
    'WRONG_SIZE',
    'DATA-73',
    [request('SEND_FIRST', 5, 256), request('SEND_LAST', 6, 257)],
    'no more than the path MTU',
  ],
  [
    'WIRE.REQUESTS',
    'WRONG_SIZE',
    'DATA-73',
    [send(5, 300), request('SEND_FIRST', 6, 256)],
    'path MTU 512 or 1024 or 2048 or 4096',
  ],
  ['WIRE.REQUESTS', 'WRONG_LENGTH', 'DATA-92', [write('WRITE_ONLY', 5, 8, 9)], 'RETH length 9, payload 8'],
  [
    'WIRE.REQUESTS',
    'WRONG_LENGTH',
    'DATA-92',
    [write('WRITE_FIRST', 5, 256, 256)],
    '0 bytes of the RETH length are left',
  ],
  [
    'WIRE.REQUESTS',
    'WRONG_LENGTH',
    'DATA-92',
    [write('WRITE_FIRST', 5, 256, 300), request('WRITE_LAST', 6, 43)],
    '1 bytes of the RETH length are left',
  ],
  ['WIRE.REQUESTS', 'CHANGED', 'DATA-87', [send(5), send(6), send(5, 9)], 'payload length 9, was 8'],
  [
    'WIRE.REQUESTS',
    'CHANGED',
    'DATA-87',
    [send(5), request('SEND_ONLY', 5, 8, { solicited: true })],
    'solicited bit 1, was 0',
  ],
  ['WIRE.REQUESTS', 'CHANGED', 'DATA-87', [read(5, 100), send(5)], 'SEND_ONLY in place of a READ'],
  [
    'WIRE.REQUESTS',
    'WRONG_READ_PART',
    'DATA-80',
    [request('SEND_FIRST', 4, 256), request('SEND_LAST', 5, 1), read(6, 600), read(7, 300, 4096 + 300)],
    '300 bytes at',
  ],
  ['WIRE.REQUESTS', 'WRONG_READ_PART', 'DATA-80', [read(6, 600), read(6, 599)], '599 bytes at'],
  [
    'WIRE.REQUESTS',
    'WRONG_READ_PART',
    'DATA-80',
    [request('SEND_FIRST', 4, 256), request('SEND_LAST', 5, 1), read(6, 600), read(7, 344, 4096 + 300)],
    '344 bytes at',
  ],
  [
    'WIRE.REQUESTS',
    'WRONG_READ_PART',
    'DATA-80',
    [read(6, 600), Object.assign(read(6, 600), { rkey: 8 })],
    '600 bytes at',
  ],
  [
    'WIRE.REQUESTS',
    'TOO_OFTEN',
    'DATA-81',
    Array.from({ length: 9 }, () => send(5)),
    'psn 5 for the 9th time',
  ],
  [
    'WIRE.REQUESTS',
    'TOO_OFTEN',
    'DATA-81',
    Array.from({ length: 9 }, () => read(5, 10)),
    'psn 5 for the 9th time',
  ],
  [
    'WIRE.ANSWERS',
    'ACK_BACKWARD',
    'DATA-77',
    [send(5), send(6), ack(6, 2), ack(5, 2)],
    'psn 5, acknowledged up to 6',
  ],
  [
    'WIRE.ANSWERS',
    'NAK_OF_DONE',
    'DATA-60',
    [send(5), send(6), ack(5, 1), ack(5, 1, SEQUENCE_ERROR)],
    'psn 5',
  ],
  ['WIRE.ANSWERS', 'NAK_OF_DONE', 'DATA-60', [send(5), ack(5, 1), ack(5, 1, NOT_READY)], 'psn 5'],
  ['WIRE.ANSWERS', 'NAK_OF_DONE', 'DATA-60', [send(5), ack(5, 1), ack(5, 1, INVALID_REQUEST)], 'psn 5'],
  [
    'WIRE.ANSWERS',
    'NAK_OF_DONE',
    'DATA-60',
    [atomic(5), atomicAck(5, 1), ack(5, 1, SEQUENCE_ERROR)],
    'psn 5',
  ],
  ['WIRE.ANSWERS', 'UNSENT', 'DATA-90', [send(5), ack(5, 1), ack(6, 2)], 'psn 6, the last one sent is 5'],
  [
    'WIRE.ANSWERS',
    'UNSENT',
    'DATA-90',
    [send(4), ack(4, 1), read(5, 600), ack(8, 1)],
    'psn 8, the last one sent is 7',
  ],
  ['WIRE.ANSWERS', 'UNSENT', 'DATA-90', [send(5), ack(5, 0, SEQUENCE_ERROR)], 'psn 5'],
  ['WIRE.ANSWERS', 'WRONG_KIND', 'DATA-90', [send(5), response('ONLY', 5, 8)], 'psn 5, which was no READ'],
  ['WIRE.ANSWERS', 'WRONG_KIND', 'DATA-90', [send(5), atomicAck(5, 1)], 'psn 5, which was no atomic'],
  ['WIRE.ANSWERS', 'AHEAD_OF_READ', 'DATA-88', [read(5, 100), send(6), ack(6, 2)], 'the READ at psn 5'],
  ['WIRE.ANSWERS', 'AHEAD_OF_READ', 'DATA-88', [read(5, 100), ack(5, 1)], 'the READ at psn 5'],
  [
    'WIRE.ANSWERS',
    'AHEAD_OF_READ',
    'DATA-88',
    [read(5, 100), read(6, 100), response('ONLY', 6, 100, 2)],
    'the READ at psn 5',
  ],
  [
    'WIRE.ANSWERS',
    'NOT_READY_FOR_WRITE',
    'DATA-44',
    [write('WRITE_ONLY', 5, 8, 8), ack(5, 0, NOT_READY)],
    'psn 5',
  ],
  ['WIRE.ANSWERS', 'NOT_READY_FOR_WRITE', 'DATA-44', [read(5, 8), ack(5, 0, NOT_READY)], 'psn 5'],
  ['WIRE.ANSWERS', 'NOT_READY_FOR_WRITE', 'DATA-44', [atomic(5), ack(5, 0, NOT_READY)], 'psn 5'],
  [
    'WIRE.ANSWERS',
    'NOT_READY_FOR_WRITE',
    'DATA-44',
    [write('WRITE_FIRST', 5, 256, 300), ack(5, 0, NOT_READY)],
    'psn 5',
  ],
  ['WIRE.ANSWERS', 'WRONG_COUNT', 'DATA-91', [send(5), ack(5, 1), send(6), ack(6, 1)], 'msn 1, expected 2'],
  [
    'WIRE.ANSWERS',
    'WRONG_COUNT',
    'DATA-91',
    [send(5), ack(5, 1), atomic(6), atomicAck(6, 1)],
    'msn 1, expected 2',
  ],
  [
    'WIRE.ANSWERS',
    'WRONG_COUNT',
    'DATA-91',
    [send(5), ack(5, 1), read(6, 10), response('ONLY', 6, 10, 1)],
    'msn 1, expected 2',
  ],
  [
    'WIRE.ANSWERS',
    'AHEAD_OF_READ',
    'DATA-88',
    [read(5, 100), atomic(6), atomicAck(6, 2)],
    'the READ at psn 5',
  ],
  ['WIRE.ANSWERS', 'WRONG_KIND', 'DATA-90', [read(5, 10), atomicAck(5, 1)], 'psn 5, which was no atomic'],
  ['WIRE.ANSWERS', 'WRONG_KIND', 'DATA-90', [atomic(5), response('ONLY', 5, 8)], 'psn 5, which was no READ'],
  [
    'WIRE.ANSWERS',
    'WRONG_COUNT',
    'DATA-91',
    [send(5), ack(5, 1), request('SEND_FIRST', 6, 256), ack(6, 2)],
    'msn 2, expected 1',
  ],
  ['WIRE.ANSWERS', 'WRONG_COUNT', 'DATA-91', [send(5), send(6), ack(5, 7), ack(6, 10)], 'msn 10, expected'],
  [
    'WIRE.ANSWERS',
    'GAP_NAK_AGAIN',
    'DATA-75',
    [send(5), send(6), ack(5, 0, SEQUENCE_ERROR), ack(5, 0, SEQUENCE_ERROR)],
    'psn 5',
  ],
  ['WIRE.ANSWERS', 'ACK_NEW', 'QP-53', [send(5), send(6), ack(5, 0, INVALID_REQUEST), ack(6, 1)], 'psn 6'],
  [
    'WIRE.ANSWERS',
    'REFUSAL',
    'QP-53',
    [send(5), ack(5, 0, INVALID_REQUEST), ack(5, 0, INVALID_REQUEST)],
    'psn 5',
  ],
  [
    'WIRE.ANSWERS',
    'WRONG_COUNT',
    'DATA-91',
    [send(5), send(6), ack(5, 3, SEQUENCE_ERROR), ack(6, 10)],
    'msn 10, expected',
  ],
  [
    'WIRE.ANSWERS',
    'RESPONSE_NEW',
    'QP-53',
    [read(5, 10), ack(5, 0, INVALID_REQUEST), response('ONLY', 5, 10)],
    'psn 5',
  ],
  [
    'WIRE.ANSWERS',
    'NAK_OF_DONE',
    'DATA-60',
    [...answeredRead, send(8), ack(8, 3), read(5, 600), response('FIRST', 5, 256, 2), ack(8, 3, NOT_READY)],
    'psn 8',
  ],
  [
    'WIRE.READS',
    'WRONG_SIZE',
    'DATA-73',
    [...message256, read(5, 600), response('ONLY', 5, 600, 2)],
    '600 bytes in response 0',
  ],
  [
    'WIRE.READS',
    'WRONG_SIZE',
    'DATA-73',
    [...message256, read(5, 512), response('FIRST', 5, 256, 2), response('MIDDLE', 6, 256)],
    '256 bytes in response 1',
  ],
  [
    'WIRE.READS',
    'OUT_OF_PLACE',
    'DATA-88',
    [read(5, 600), response('FIRST', 5, 256), response('LAST', 7, 88)],
    'psn 7',
  ],
  [
    'WIRE.READS',
    'OUT_OF_PLACE',
    'DATA-88',
    [read(5, 600), response('FIRST', 5, 256), response('FIRST', 6, 256)],
    'psn 6',
  ],
  [
    'WIRE.READS',
    'WRONG_SIZE',
    'DATA-73',
    [read(5, 600), response('FIRST', 5, 256), response('MIDDLE', 6, 255)],
    '255 bytes in response 1',
  ],
  [
    'WIRE.READS',
    'WRONG_SIZE',
    'DATA-73',
    [read(5, 600), response('FIRST', 5, 256), response('MIDDLE', 6, 256), response('LAST', 7, 87)],
    '87 bytes in response 2',
  ],
  [
    'WIRE.READS',
    'WRONG_SIZE',
    'DATA-73',
    [read(5, 600), response('ONLY', 5, 599)],
    '599 bytes in response 0',
  ],
  ['WIRE.UC', 'GAP', 'DATA-74', [uc('SEND_ONLY', 5, 8), uc('SEND_ONLY', 7, 8)], 'psn 7, expected 6'],
  ['WIRE.UC', 'GAP', 'DATA-74', [uc('SEND_ONLY', 5, 8), uc('SEND_ONLY', 6 + FAR, 8)], 'expected 6'],
  ['WIRE.UC', 'GAP', 'DATA-74', [uc('SEND_FIRST', 5, 256), uc('SEND_LAST', 7 + FAR, 8)], 'expected 6'],
  ['WIRE.UC', 'AGAIN', 'DATA-74', [uc('SEND_ONLY', 5, 8), uc('SEND_ONLY', 5, 8)], 'psn 5, expected 6'],
  ['WIRE.UC', 'SEND_LAST', 'DATA-73', [uc('SEND_ONLY', 5, 8), uc('SEND_LAST', 6, 8)], 'psn 6'],
  ['WIRE.UC', 'SEND_LAST', 'DATA-73', [uc('WRITE_MIDDLE', 5, 256), uc('SEND_LAST', 6, 8)], 'psn 6'],
  ['WIRE.UC', 'WRONG_SIZE', 'DATA-73', [uc('SEND_FIRST', 5, 100)], 'payload of 100 bytes'],
  ['WIRE.UC', 'WRONG_LENGTH', 'DATA-92', [uc('WRITE_ONLY', 5, 8, { dmaLength: 4 })], 'RETH length 4'],
  ['WIRE.UD', 'AGAIN', 'DATA-74', [ud(5), ud(6), ud(5)], 'psn 5, expected 7'],
];

describe('a fault planted on the wire', () => {
  it.each(planted)('is seen by %s as %s, broken [%s]', (machine, event, requirement, packets, detail) => {
    expect(judged(packets.slice(0, -1)).findings).toEqual([]);
    const { findings, unjudged } = judged(packets);
    expect(findings).toMatchObject([{ machine, event, frame: packets.length }]);
    expect(unjudged).toEqual({});
    expect(findings[0].requirements).toContain(requirement);
    expect(findings[0].detail).toContain(detail);
  });

  it('[DATA-74] is a skipped datagram only where everything is seen', () => {
    expect(judged([ud(5), ud(7)]).findings).toEqual([]);
    const { findings } = judged([ud(5), ud(7)], { complete: true });
    expect(findings).toMatchObject([{ machine: 'WIRE.UD', event: 'GAP', detail: 'psn 7, expected 6' }]);
  });

  it('has one in the list for each event that a machine never allows', () => {
    const tried = new Set(planted.map(([machine, event]) => `${machine} ${event}`));
    tried.add('WIRE.UD GAP');
    for (const name of WIRE_MACHINES) {
      const { events, transitions } = machineByName(name);
      for (const { name: event } of events) {
        if (transitions.some(rule => rule.event === event)) continue;
        // The record's payload holds no more than the largest path MTU; the bytes of a frame are judged apart.
        if (name === 'WIRE.UD' && event === 'WRONG_SIZE') continue;
        expect(tried, `${name} ${event}`).toContain(`${name} ${event}`);
      }
    }
  });
});

/** Nothing of this is a fault. */
const allowed: readonly (readonly [what: string, packets: readonly Packet[]])[] = [
  ['a first packet in the middle of a message', [request('SEND_MIDDLE', 5, 256), request('SEND_LAST', 6, 9)]],
  [
    'a repetition from the middle on',
    [request('SEND_FIRST', 5, 256), request('SEND_LAST', 6, 9), request('SEND_LAST', 6, 9)],
  ],
  [
    'going on behind what was acknowledged meanwhile',
    [send(5), send(6), send(7), send(8), send(5), ack(7, 3), send(8), send(9)],
  ],
  [
    'last and only packets as long as the path MTU',
    [send(5, 256), request('SEND_FIRST', 6, 256), request('SEND_LAST', 7, 256), send(8, 256)],
  ],
  ['an acknowledgement of several messages', [send(5), send(6), send(7), ack(7, 3)]],
  ['numbers around 2^24', [send(0xff_ffff), send(0), ack(0, 2), send(0xff_ffff), ack(0, 2)]],
  ['an answer to what was sent before the first frame seen', [send(5), ack(3, 9), ack(5, 11)]],
  [
    'a second sequence error behind a READ that may have been dropped',
    [read(5, 10), send(6), ack(5, 0, SEQUENCE_ERROR), read(5, 10), send(6), ack(5, 0, SEQUENCE_ERROR)],
  ],
  [
    'a READ from a later response on',
    [
      read(5, 600),
      response('FIRST', 5, 256),
      response('MIDDLE', 6, 256),
      response('LAST', 7, 88),
      read(6, 344, 4096 + 256),
      response('FIRST', 6, 256),
      response('LAST', 7, 88),
    ],
  ],
  [
    'a READ of unknown size, answered behind the next request',
    [
      read(5, 600),
      send(8),
      response('FIRST', 5, 256),
      response('MIDDLE', 6, 256),
      response('LAST', 7, 88),
      ack(8, 2),
    ],
  ],
  [
    'a READ of unknown size that asks for the rest',
    [
      read(5, 600),
      read(6, 344, 4096 + 256),
      response('FIRST', 5, 256),
      response('MIDDLE', 6, 256),
      response('LAST', 7, 88),
      send(8),
    ],
  ],
  ...[6, 7, 8].map(
    psn =>
      [
        `a READ of unknown size whose next request says that it has ${psn - 5} response(s)`,
        [read(5, 600), send(psn), read(5, 600), send(psn)],
      ] as const,
  ),
  ['a READ of unknown size behind what goes again', [send(5), read(6, 600), send(5), read(6, 600), send(7)]],
  ['a READ of another place behind one of unknown size', [read(5, 600), read(6, 10, 8192), send(7)]],
  ['a READ of a longer stretch with the same end', [read(5, 600), read(6, 696, 4000), send(7)]],
  ['the same READ once more, as another request', [read(5, 600), read(6, 600), send(7)]],
  ['a READ of the last part, as another request', [read(5, 600), read(8, 88, 4096 + 512), send(9)]],
  [
    'a WRITE to where the last part of a READ of unknown size comes from',
    [read(5, 600), request('WRITE_ONLY', 6, 344, { dmaLength: 344, virtualAddress: 4096 + 256, rkey: 7 })],
  ],
  ['a long READ from its second response on', [read(5, 5000), read(6, 5000 - 256, 4096 + 256), send(25)]],
  [
    'going on behind a READ that goes again with all its responses',
    [
      request('SEND_FIRST', 2, 256),
      request('SEND_LAST', 3, 256),
      read(4, 600),
      send(7),
      read(4, 600),
      send(7),
      send(8),
    ],
  ],
  [
    'what is new behind repetitions that stop at what was acknowledged',
    [send(5), send(6), send(5), ack(6, 2), send(7)],
  ],
  [
    'atomics and their answers, given again too',
    [
      atomic(5),
      atomicAck(5, 1),
      atomic(6, 'FETCH_ADD'),
      atomicAck(6, 2),
      atomic(6, 'FETCH_ADD'),
      atomicAck(6, 2),
    ],
  ],
  ...(['SEND_ONLY', 'SEND_ONLY_IMM', 'SEND_ONLY_INVALIDATE', 'SEND_FIRST', 'WRITE_ONLY_IMM'] as const).map(
    operation =>
      [
        `a receiver that is not ready for ${operation}`,
        [request(operation, 5, 256, { dmaLength: 256 }), ack(5, 0, NOT_READY)],
      ] as const,
  ),
  [
    'a receiver that is not ready for the end of a SEND that invalidates',
    [request('SEND_FIRST', 5, 256), request('SEND_LAST_INVALIDATE', 6, 44), ack(6, 0, NOT_READY)],
  ],
  [
    'a receiver that is not ready for the end of a WRITE with immediate data',
    [write('WRITE_FIRST', 5, 256, 300), request('WRITE_LAST_IMM', 6, 44), ack(6, 0, NOT_READY)],
  ],
  ['a READ of one response', [read(5, 100), response('ONLY', 5, 100), send(6), ack(6, 2)]],
  [
    'whatever a middle response has where others have a count, since it has none',
    [...message256, ack(4, 1), read(5, 600), response('FIRST', 5, 256, 2), response('MIDDLE', 6, 256, 77)],
  ],
  [
    'a second sequence error behind receiver not ready, a READ answered again in between',
    [
      read(5, 10),
      response('ONLY', 5, 10),
      send(6),
      send(7),
      ack(6, 1, SEQUENCE_ERROR),
      ack(6, 1, NOT_READY),
      read(5, 10),
      response('ONLY', 5, 10),
      ack(6, 1, SEQUENCE_ERROR),
    ],
  ],
  [
    'a refusal in the middle of a READ',
    [send(4), ack(4, 1), read(5, 600), response('FIRST', 5, 256, 2), ack(5, 1, INVALID_REQUEST)],
  ],
  [
    'nine tries with an answer in between',
    [...Array.from({ length: 8 }, () => send(5)), ack(5, 0, NOT_READY), send(5)],
  ],
  [
    'a new connection with the same numbers',
    [send(5), ack(5, 1), send(9_000_000), send(9_000_001), ack(9_000_001, 2)],
  ],
  [
    'connections that begin just so far away that they must be new',
    [send(5), send(7 + FAR), send(8 + FAR), send(8)],
  ],
  [
    'the same of UC',
    [uc('SEND_ONLY', 5, 8), uc('SEND_ONLY', 7 + FAR, 8), uc('SEND_ONLY', 8 + FAR, 8), uc('SEND_ONLY', 8, 8)],
  ],
  ['a UC SEND whose beginning was not seen', [uc('SEND_MIDDLE', 5, 256), uc('SEND_LAST', 6, 9)]],
  ['a UC WRITE whose beginning was not seen', [uc('WRITE_MIDDLE', 5, 256), uc('WRITE_LAST', 6, 9)]],
  ['a UC message that is left in the middle', [uc('SEND_FIRST', 5, 256), uc('SEND_ONLY', 6, 8)]],
];

describe('the judge of the wire', () => {
  it.each(allowed)('lets pass %s', (_, packets) => {
    expect(judged(packets).findings).toEqual([]);
  });

  it.each([
    ['DATA-76', [send(5), send(6), ack(5, 0, NOT_READY), ack(5, 0, SEQUENCE_ERROR)]],
    [
      'DATA-77',
      [
        request('SEND_FIRST', 5, 256, { ackRequest: false }),
        request('SEND_LAST', 6, 8),
        ack(6, 1),
        ack(6, 1),
      ],
    ],
    [
      'DATA-89',
      [...answeredRead, read(6, 344, 4096 + 256), response('MIDDLE', 6, 256), response('LAST', 7, 88, 2)],
    ],
    [
      'DATA-89',
      [
        read(5, 600),
        response('FIRST', 5, 256),
        read(6, 344, 4096 + 256),
        response('MIDDLE', 6, 256),
        read(6, 344, 4096 + 256),
        response('MIDDLE', 6, 256),
        response('LAST', 7, 88),
      ],
    ],
  ] as const)('notes what only the lenient reading of %s allows', (requirement, packets) => {
    const { findings, lenient } = judged(packets);
    expect(findings).toEqual([]);
    expect(lenient).toMatchObject([{ requirement, count: 1 }]);
  });

  it.each([
    ['as many acknowledgements as packets that ask for one', [send(5), send(5), ack(5, 1), ack(5, 1)]],
    [
      'the first acknowledgement of what did not ask for one',
      [
        request('SEND_FIRST', 5, 256, { ackRequest: false }),
        request('SEND_LAST', 6, 8, { ackRequest: false }),
        ack(6, 1),
      ],
    ],
    ['a first sequence error', [send(1), send(2), ack(1, 0, SEQUENCE_ERROR)]],
  ])('notes nothing of %s', (_, packets) => {
    const { findings, lenient, unjudged } = judged(packets);
    expect([findings, lenient, unjudged]).toEqual([[], [], {}]);
  });

  it('says which counts of messages there can be', () => {
    const detailOf = (...packets: readonly Packet[]) => judged(packets).findings.map(({ detail }) => detail);
    expect(detailOf(send(5), ack(5, 1), send(6), ack(6, 1))).toEqual(['msn 1, expected 2']);
    // Of two messages the first acknowledgement may have counted one or both.
    expect(detailOf(send(5), send(6), ack(5, 7), ack(6, 10))).toEqual(['msn 10, expected 7 to 8']);
  });

  it('tells going back from going on', () => {
    const told = new Told('WIRE.REQUESTS');
    judged([send(5), send(6), send(7), send(5), send(6)], { monitorOf: name => told.book.get(name) });
    expect(told.heard.slice(-2)).toEqual(['WIRE.REQUESTS 0 GO_BACK', 'WIRE.REQUESTS 0 GO_ON']);
  });

  it('says nothing of repetitions of what is older than it keeps, nor of answers to it', () => {
    const sends = Array.from({ length: 600 }, (_, i) => send(5 + i));
    const old = Array.from({ length: 10 }, () => send(5));
    const { findings, unjudged } = judged([...sends, ...old, atomicAck(5, 1), response('ONLY', 5, 8)]);
    expect(findings).toEqual([]);
    expect(unjudged).toEqual({
      'a repeated packet that is older than what is kept': 10,
      'an answer to a packet older than what is kept': 2,
    });
    const behind = (...packets: readonly Packet[]) => judged([...sends, ...packets]).findings;
    expect(behind(ack(5, 0, NOT_READY))).toEqual([]);
    expect(behind(ack(5, 1), ack(604, 600))).toEqual([]);
    expect(behind(ack(5, 1), ack(5, 1, SEQUENCE_ERROR))).toMatchObject([{ event: 'NAK_OF_DONE' }]);
  });

  it('counts what it cannot judge, by its reason', () => {
    const { unjudged, packets, findings } = judged([
      ack(5, 1),
      send(5),
      ack(5, 1),
      ack(4, 1),
      ack(5, 2, 0x45),
      ack(5, 2, 0x64),
    ]);
    expect([packets, findings]).toEqual([6, []]);
    expect(unjudged).toEqual({
      'an answer of a connection whose requests were not seen': 1,
      'an answer to what was sent before the first frame seen': 1,
      'an answer with the reserved syndrome 0x45': 1,
      'an answer with the reserved syndrome 0x64': 1,
    });
    expect(judged([send(5), ack(5, 0, 0x63)]).unjudged).toEqual({});
  });

  it('tells connections between the same machines apart by their numbers', () => {
    const other = (psn: number): Packet => Object.assign(send(psn), { destQpn: 28 });
    const otherAck = (psn: number, msn: number): Packet => Object.assign(ack(psn, msn), { destQpn: 27 });
    const packets = [
      send(5),
      other(900),
      otherAck(900, 1),
      ack(5, 1),
      other(901),
      send(6),
      ack(6, 2),
      otherAck(901, 2),
    ];
    const { findings, unjudged, connections } = judged(packets);
    expect([findings, unjudged, connections]).toEqual([[], {}, 2]);
    expect(judged([...packets, otherAck(902, 3)]).findings).toMatchObject([{ event: 'UNSENT' }]);
  });

  it('forgets a queue pair that was reset, and judges no answer that may be older', () => {
    const judge = new WireJudge({ sourceKnown: true });
    for (const packet of [send(5), send(6), ack(5, 1)]) judge.take(packet);
    judge.forget(HERE.qpn);
    for (const packet of [send(1000), ack(6, 2), send(1001), ack(1001, 3)]) judge.take(packet);
    expect(judge.report()).toMatchObject({
      findings: [],
      unjudged: { 'an answer behind a reset of one end': 2 },
    });
    judge.take(send(1003));
    expect(judge.report().findings).toMatchObject([{ event: 'GAP' }]);
  });
});

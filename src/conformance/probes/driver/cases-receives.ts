/** Chapter 7: receive requests as they stand in the ring, and how many requests may be outstanding. */
import { rqReq } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { firstDirtyByte } from './commands.js';
import { aRecv, aSend, makeObjects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { decodeReceive, elementsOf, giveBack, postReceive, theRequest, throws } from './traffic.js';

import { elements } from './cases-requests.js';

export const receiveCases: readonly ConformanceCase[] = [
  ...[0, 1, 2].map(count =>
    probeStarted({
      id: `DATA/receive/${count}-elements`,
      doc: `A receive with ${count} elements stands in the ring as one readable chain: the fixed part and its elements.`,
      requirements: ['DATA-22', 'OVR-04', 'OVR-02'],
      options: [{}, { indirect: true }],
      ask: async bench => {
        const { qp, qpn } = await makeObjects(bench);
        for (const wrId of [0x1f_1112_1314_1516, 0]) {
          const sges = [elements[0], elements[2]].slice(0, count);
          postReceive(bench, qp, aRecv(wrId, { sges }));
          const seen = theRequest(bench, bench.map.rq(qpn), ['DATA-22']);
          const { wr_id: number, num_sge: listed } = decodeReceive(seen);
          bench.equal(seen.bytes.length, rqReq.size + 16 * count, 'readable bytes of the request');
          bench.equal(seen.chain.writableBytes, 0, 'writable bytes of the request');
          bench.equal(number, wrId, 'wr_id');
          bench.equal(listed, count, 'num_sge');
          bench.equal(JSON.stringify(elementsOf(seen, rqReq.size)), JSON.stringify(sges), 'elements');
          const dirty = firstDirtyByte(rqReq, seen.bytes, 0);
          bench.expect(dirty === undefined, `byte ${dirty} of the request is reserved and not zero`, [
            'OVR-06',
          ]);
          giveBack(bench, [seen]);
        }
      },
    }),
  ),
  ...(['send', 'receive'] as const).map(side =>
    probeStarted({
      id: `DATA/capacity/${side}-slots`,
      doc: `No more ${side}s are outstanding than the capacity; a slot is free as soon as its chain is back, without any completion.`,
      requirements: ['DATA-31', 'DATA-32', 'ERR-08'],
      ask: async bench => slots(bench, side),
    }),
  ),
];

async function slots(bench: Bench, side: 'send' | 'receive'): Promise<void> {
  const { qp, qpn } = await makeObjects(bench, { cap: { maxSendWr: 3, maxRecvWr: 3 } });
  const index = side === 'send' ? bench.map.sq(qpn) : bench.map.rq(qpn);
  const ring = bench.device.ring(index);
  const one = (wrId: number): void => {
    if (side === 'send') bench.verbs.postSend(qp, aSend(wrId, { sendFlags: 0 }));
    else bench.verbs.postRecv(qp, aRecv(wrId));
  };
  let wrId = 0;
  for (let round = 0; round < 10; round++) {
    for (;;) {
      ring.takeAll();
      if (ring.outstanding.size === 3) break;
      bench.expect(wrId < 100, 'posts are accepted and do not reach the ring');
      one(wrId++);
    }
    const before = ring.availIdx;
    throws(bench, `a post with 3 of 3 ${side}s outstanding`, 'ENOMEM', () => one(999), ['DATA-31', 'ERR-08']);
    bench.equal(ring.availIdx, before, 'the available index after a refused post', ['ERR-09']);
    const back = [...ring.outstanding.values()].slice(0, 1 + (round % 3));
    for (const chain of back) ring.giveBack(chain, 0);
    for (let i = 0; i < back.length; i++) {
      try {
        one(wrId++);
      } catch (error) {
        throw bench.broken(`a post failed with a slot free: ${String(error)}`, ['DATA-32']);
      }
    }
  }
}

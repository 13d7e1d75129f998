/** Chapters 8 and 12: polling, and completions of queue pairs and completion queues that are gone. */
import { QpState, QpType, WcOpcode, WcStatus } from '../../../abi/index.js';
import type { CompletionQueue } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { aRecv, aSend, makeObjects } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, consume, poll, post } from './traffic.js';

import { buffers, receives, sends } from './cases-completions.js';

async function pollThrough(bench: Bench, max: number): Promise<void> {
  const objects = await makeObjects(bench, { cqe: 8, cap: { maxSendWr: 8 } });
  const found: number[] = [];
  for (let round = 0; round < 5; round++) {
    const wrIds = [0, 1, 2, 3, 4, 5, 6].map(i => round * 10 + i);
    sends(bench, objects, ...wrIds);
    for (const wrId of wrIds) complete(bench, 0, { wr_id: wrId, qp_num: objects.qpn });
    for (let left = wrIds.length; left > 0;) {
      const seen = poll(bench, objects.sendCq, max);
      bench.equal(seen.length, Math.min(left, max), 'completions polled', ['CQ-53', 'CQ-05']);
      left -= seen.length;
      found.push(...seen.map(({ wrId }) => wrId));
    }
    bench.equal(poll(bench, objects.sendCq, max).length, 0, 'completions behind the last');
    bench.equal(found.splice(0).join(), wrIds.join(), 'wr_ids in the order of the polls', [
      'ORD-13',
      'CQ-05',
    ]);
  }
}

const pollCases: readonly ConformanceCase[] = [
  ...[1, 3, 16].map(max =>
    probeStarted({
      id: `CQ/poll/at-most-${max}`,
      doc: `Polls for at most ${max} bring every completion once, the oldest first, and leave the others.`,
      requirements: ['CQ-05', 'CQ-53', 'ORD-13'],
      ask: async bench => pollThrough(bench, max),
    }),
  ),
  probeStarted({
    id: 'CQ/poll/none-wanted',
    doc: 'A poll for 0 completions brings none and loses none.',
    requirements: ['CQ-53'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      sends(bench, objects, 1);
      complete(bench, 0, { wr_id: 1, qp_num: objects.qpn });
      bench.equal(poll(bench, objects.sendCq, 0).length, 0, 'completions polled');
      bench.equal(poll(bench, objects.sendCq).length, 1, 'completions polled');
    },
  }),
  probeStarted({
    id: 'CQ/poll/looks-at-the-ring',
    doc: 'Each poll looks at the used index anew: a completion that came since the last one is found without any interrupt.',
    requirements: ['CQ-51', 'CQ-52'],
    options: [{}, { eventIdx: true }],
    ask: async bench => {
      const objects = await makeObjects(bench);
      for (let i = 0; i < 20; i++) {
        bench.equal(poll(bench, objects.sendCq).length, 0, 'completions polled before one came');
        sends(bench, objects, i);
        complete(bench, 0, { wr_id: i, qp_num: objects.qpn });
        bench.equal(poll(bench, objects.sendCq).length, 1, 'completions polled after one came');
      }
    },
  }),
  probeStarted({
    id: 'CQ/poll/queues-apart',
    doc: 'Completions of two queues are found on their own queues, in whatever order they came.',
    requirements: ['CQ-05', 'ORD-13'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      sends(bench, objects, 1, 2);
      receives(bench, objects, 3, 4);
      complete(bench, 1, { wr_id: 3, qp_num: objects.qpn, opcode: WcOpcode.RECV });
      complete(bench, 0, { wr_id: 1, qp_num: objects.qpn });
      complete(bench, 1, { wr_id: 4, qp_num: objects.qpn, opcode: WcOpcode.RECV });
      complete(bench, 0, { wr_id: 2, qp_num: objects.qpn });
      bench.equal(
        poll(bench, objects.sendCq)
          .map(({ wrId }) => wrId)
          .join(),
        '1,2',
        'wr_ids of sends',
      );
      bench.equal(
        poll(bench, objects.recvCq)
          .map(({ wrId }) => wrId)
          .join(),
        '3,4',
        'wr_ids of receives',
      );
    },
  }),
  probeStarted({
    id: 'CQ/poll/unsignaled-without-end',
    doc: 'Hundreds of unsignaled sends between two completions, and a failure among them: no honest device is blamed.',
    requirements: ['HOST-23', 'CQ-05'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      const { qp, qpn, sendCq } = objects;
      for (let i = 0; i < 600; i++) {
        post(bench, qp, aSend(i, { sendFlags: 0 }));
        consume(bench, bench.map.sq(qpn));
      }
      complete(bench, 0, { wr_id: 598, qp_num: qpn, status: WcStatus.REM_ACCESS_ERR });
      complete(bench, 0, { wr_id: 599, qp_num: qpn, status: WcStatus.WR_FLUSH_ERR });
      bench.equal(
        poll(bench, sendCq)
          .map(({ wrId }) => wrId)
          .join(),
        '598,599',
        'wr_ids polled',
      );
    },
  }),
  probeStarted({
    id: 'CQ/poll/same-number-on-both-sides',
    doc: 'A send and a receive with the same number fail on one completion queue: both are handed out, the device is not blamed.',
    requirements: ['HOST-23', 'CQ-05'],
    ask: async bench => {
      const objects = await makeObjects(bench, { oneCq: true });
      sends(bench, objects, 7, 7);
      receives(bench, objects, 7, 7);
      for (let i = 0; i < 4; i++)
        complete(bench, 0, { wr_id: 7, qp_num: objects.qpn, status: WcStatus.WR_FLUSH_ERR });
      bench.equal(poll(bench, objects.sendCq).length, 4, 'completions polled');
    },
  }),
];

async function endOf(bench: Bench, objects: Objects, how: 'destroy' | 'reset'): Promise<void> {
  if (how === 'destroy') await bench.do('destroyQp()', verbs => verbs.destroyQp(objects.qp));
  else await bench.do('modifyQp(to RESET)', verbs => verbs.modifyQp(objects.qp, { qpState: QpState.RESET }));
}

/** The number comes back at once: the honest device gives the lowest. */
async function again(bench: Bench, { pd }: Objects, cq: CompletionQueue) {
  const init = {
    type: QpType.RC,
    sqSigAll: false,
    sendCq: cq,
    recvCq: cq,
    cap: { maxSendWr: 4, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 },
  };
  return bench.do('createQp()', verbs => verbs.createQp(pd, init));
}

const goneCases: readonly ConformanceCase[] = (['destroy', 'reset'] as const).flatMap(how => [
  probeStarted({
    id: `RST/completions/kept-after-${how}`,
    doc: `Completions that were in the queue when the queue pair went (${how}) are handed out, behind it, and the rest of the queue goes on.`,
    requirements: ['CQ-55', 'RST-10'],
    ask: async bench => {
      const objects = await makeObjects(bench, { oneCq: true });
      sends(bench, objects, 1, 2);
      receives(bench, objects, 3);
      complete(bench, 0, { wr_id: 1, qp_num: objects.qpn });
      complete(bench, 0, { wr_id: 3, qp_num: objects.qpn, opcode: WcOpcode.RECV });
      await endOf(bench, objects, how);
      if (how === 'destroy') await again(bench, objects, objects.sendCq);
      const seen = poll(bench, objects.sendCq);
      bench.equal(seen.map(({ wrId }) => wrId).join(), '1,3', 'wr_ids polled');
      bench.equal(buffers(bench, 0), 8, 'buffers when all is polled', ['CQ-16']);
    },
  }),
  probeStarted({
    id: `RST/completions/not-anothers-after-${how}`,
    doc: `An error completion from before the end (${how}) does not count for what has the number now: it may not be taken for its state.`,
    requirements: ['RST-11', 'CQ-55'],
    ask: async bench => {
      const objects = await makeObjects(bench, { oneCq: true });
      sends(bench, objects, 1);
      complete(bench, 0, { wr_id: 1, qp_num: objects.qpn, status: WcStatus.RETRY_EXC_ERR });
      await endOf(bench, objects, how);
      const qp = how === 'destroy' ? await again(bench, objects, objects.sendCq) : objects.qp;
      bench.equal(qp.qpNum, objects.qpn, 'the number of the queue pair');
      bench.equal(poll(bench, objects.sendCq).length, 1, 'completions polled', ['RST-10']);
      try {
        bench.verbs.postRecv(qp, aRecv(9, { sges: [] }));
      } catch {
        return;
      }
      throw bench.broken(
        'a receive was accepted in RESET after the completion of an earlier queue pair was polled',
        ['RST-11'],
      );
    },
  }),
]);

const destroyCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'RST/completions/go-with-their-queue',
    doc: 'Completions that nobody polled go with their completion queue; a new one of the number starts empty.',
    requirements: ['CQ-05', 'RST-15'],
    ask: async bench => {
      const objects = await makeObjects(bench, { oneCq: true });
      sends(bench, objects, 1, 2);
      for (const wrId of [1, 2]) complete(bench, 0, { wr_id: wrId, qp_num: objects.qpn });
      await bench.do('destroyQp()', verbs => verbs.destroyQp(objects.qp));
      await bench.do('destroyCq()', verbs => verbs.destroyCq(objects.sendCq));
      const cq = await bench.do('createCq(4)', verbs => verbs.createCq(4));
      bench.equal(poll(bench, cq).length, 0, 'completions in a new queue');
      bench.equal(buffers(bench, 0), 4, 'buffers of the new queue', ['CQ-14', 'CQ-15']);
    },
  }),
];

export const pollingCases: readonly ConformanceCase[] = [...pollCases, ...goneCases, ...destroyCases];

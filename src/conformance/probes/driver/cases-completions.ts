/** Chapter 8: completion buffers, what a completion holds, polling, completions of queue pairs that are gone. */
import {
  Command,
  QpState,
  QpType,
  WcFlag,
  WcOpcode,
  WcStatus,
  WrOpcode,
  wcOpcodes,
  wcStatuses,
} from '../../../abi/index.js';
import type { CompletionQueue, WorkCompletion } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { completionBytes } from './encode.js';
import type { CompletionFields } from './encode.js';
import { aRecv, aSend, makeObjects, makeAddress } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, completeBytes, consume, poll, post, postReceive } from './traffic.js';

/** Posts signaled sends, and has the device take and return them. */
function sends(bench: Bench, { qp, qpn }: Objects, ...wrIds: readonly number[]): void {
  for (const wrId of wrIds) {
    post(bench, qp, aSend(wrId));
    consume(bench, bench.map.sq(qpn));
  }
}
function receives(bench: Bench, { qp, qpn }: Objects, ...wrIds: readonly number[]): void {
  for (const wrId of wrIds) {
    postReceive(bench, qp, aRecv(wrId));
    consume(bench, bench.map.rq(qpn));
  }
}

function buffers(bench: Bench, cqn: number): number {
  const ring = bench.device.ring(bench.map.cq(cqn));
  return ring.available + ring.outstanding.size;
}

function expectCompletion(
  bench: Bench,
  seen: WorkCompletion | undefined,
  expected: Partial<WorkCompletion>,
): void {
  bench.expect(seen !== undefined, 'the poll found no completion');
  for (const [name, value] of Object.entries(expected))
    bench.equal(Object.getOwnPropertyDescriptor(seen ?? {}, name)?.value, value, name);
}

const bufferCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'CQ/buffers/as-many-as-entries',
    doc: 'When a queue pair can be created on a completion queue, its virtqueue holds a buffer of 48 bytes or more for each entry, and none more.',
    requirements: ['CQ-14', 'CQ-10', 'CQ-15'],
    ask: async bench => {
      for (const [cqn, cqe] of [1, 8, 5].entries()) {
        await bench.do(`createCq(${cqe})`, verbs => verbs.createCq(cqe));
        await bench.run();
        bench.expect(buffers(bench, cqn) <= cqe, `${buffers(bench, cqn)} buffers for ${cqe} entries`, [
          'CQ-15',
        ]);
        bench.equal(buffers(bench, cqn), cqe, `buffers for ${cqe} entries`, ['CQ-14']);
        for (const { writableBytes, readable } of bench.device.ring(bench.map.cq(cqn)).takeAll()) {
          bench.expect(writableBytes >= 48, `a buffer has ${writableBytes} writable bytes`, ['CQ-10']);
          bench.equal(readable.length, 0, 'readable bytes of a buffer', ['CQ-10']);
        }
      }
    },
  }),
  probeStarted({
    id: 'CQ/buffers/back-with-the-poll',
    doc: 'A buffer goes back at the end of the poll that takes its completion, and not before.',
    requirements: ['CQ-16', 'CQ-17', 'CQ-15'],
    ask: async bench => {
      const objects = await makeObjects(bench, { cqe: 4 });
      for (let round = 0; round < 6; round++) {
        sends(bench, objects, 0, 1, 2);
        for (let i = 0; i < 3; i++) complete(bench, 0, { wr_id: i, qp_num: objects.qpn });
        bench.equal(buffers(bench, 0), 1, 'buffers with 3 completions unpolled', ['CQ-17']);
        bench.equal(poll(bench, objects.sendCq, 2).length, 2, 'completions polled');
        bench.equal(buffers(bench, 0), 3, 'buffers with 1 completion unpolled', ['CQ-16']);
        bench.equal(poll(bench, objects.sendCq, 2).length, 1, 'completions polled');
        bench.equal(buffers(bench, 0), 4, 'buffers with none unpolled', ['CQ-16']);
      }
    },
  }),
  probeStarted({
    id: 'CQ/buffers/empty-polls-give-none',
    doc: 'Polls that find nothing make nothing available.',
    requirements: ['CQ-15', 'PERF-07'],
    ask: async bench => {
      const { sendCq } = await makeObjects(bench, { cqe: 4 });
      const ring = bench.device.ring(bench.map.cq(0));
      const before = ring.availIdx;
      for (let i = 0; i < 5; i++) bench.equal(poll(bench, sendCq).length, 0, 'completions polled');
      bench.equal(ring.availIdx, before, 'the available index');
    },
  }),
  probeStarted({
    id: 'CQ/buffers/queue-created-again',
    doc: 'A completion queue that takes the place of a destroyed one has the buffers of its own size.',
    requirements: ['CQ-14', 'CQ-15'],
    ask: async bench => {
      for (const cqe of [8, 2, 5]) {
        const cq = await bench.do(`createCq(${cqe})`, verbs => verbs.createCq(cqe));
        await bench.run();
        bench.equal(buffers(bench, 0), cqe, `buffers for ${cqe} entries`);
        await bench.do('destroyCq()', verbs => verbs.destroyCq(cq));
      }
    },
  }),
];

/** One completion, decoded. */
function decoded(
  what: string,
  opcode: WcOpcode,
  fields: Partial<CompletionFields>,
  expected: Partial<WorkCompletion>,
  type: QpType = QpType.RC,
): ConformanceCase {
  return probeStarted({
    id: `CQ/contents/${what}`,
    doc: 'The fields that are valid reach the program as the device wrote them.',
    requirements: ['CQ-05', 'OVR-04', 'OVR-02'],
    ask: async bench => {
      const objects = await makeObjects(bench, { type, cap: { maxRecvSge: 2 } });
      const { qp, qpn, pd, sendCq, recvCq } = objects;
      const wrId = 0x1e_1122_3344_5566;
      const isReceive = opcode === WcOpcode.RECV || opcode === WcOpcode.RECV_RDMA_WITH_IMM;
      if (isReceive)
        postReceive(bench, qp, aRecv(wrId, { sges: [{ addr: 0, length: 0x7fff_ffff, lkey: 1 }] }));
      else {
        const ah = type === QpType.UD ? await makeAddress(bench, pd) : undefined;
        const wrOpcode = [WrOpcode.SEND, WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ][opcode] ?? WrOpcode.SEND;
        post(bench, qp, aSend(wrId, { opcode: wrOpcode, ...(ah === undefined ? {} : { ah }) }));
      }
      consume(bench, isReceive ? bench.map.rq(qpn) : bench.map.sq(qpn));
      complete(bench, isReceive ? 1 : 0, { wr_id: wrId, opcode, qp_num: qpn, ...fields });
      const [seen] = poll(bench, isReceive ? recvCq : sendCq);
      expectCompletion(bench, seen, { wrId, opcode, status: WcStatus.SUCCESS, qpNum: qpn, ...expected });
    },
  });
}

const contentCases: readonly ConformanceCase[] = [
  decoded('send', WcOpcode.SEND, {}, { wcFlags: 0 }),
  decoded('rdma-write', WcOpcode.RDMA_WRITE, {}, { wcFlags: 0 }),
  decoded('rdma-read', WcOpcode.RDMA_READ, { byte_len: 64 }, { byteLen: 64, wcFlags: 0 }),
  decoded('recv', WcOpcode.RECV, { byte_len: 0x0102_0304 }, { byteLen: 0x0102_0304, wcFlags: 0 }),
  decoded(
    'recv-with-imm',
    WcOpcode.RECV,
    { byte_len: 3, imm_data: 0x8122_33f4, wc_flags: WcFlag.WITH_IMM },
    { byteLen: 3, immData: 0x8122_33f4, wcFlags: WcFlag.WITH_IMM },
  ),
  decoded(
    'recv-rdma-with-imm',
    WcOpcode.RECV_RDMA_WITH_IMM,
    { byte_len: 0xffff_fffe, imm_data: 0x0a0b_0c0d, wc_flags: WcFlag.WITH_IMM },
    { byteLen: 0xffff_fffe, immData: 0x0a0b_0c0d },
  ),
  decoded(
    'datagram',
    WcOpcode.RECV,
    { byte_len: 104, src_qp: 0x00fe_dcba, wc_flags: 3, imm_data: 1 },
    { byteLen: 104, srcQp: 0x00fe_dcba, wcFlags: 3, immData: 1 },
    QpType.UD,
  ),
  ...wcStatuses.names.map(name =>
    probeStarted({
      id: `CQ/status/${name.toLowerCase().replaceAll('_', '-')}`,
      doc: `A completion with ${name} reaches the program with that status, its request and its queue pair.`,
      requirements: ['ERR-24'],
      ask: async bench => {
        const objects = await makeObjects(bench);
        sends(bench, objects, 77);
        complete(bench, 0, {
          wr_id: 77,
          qp_num: objects.qpn,
          status: WcStatus[name],
          vendor_err: 0x1234_5678,
        });
        const [seen] = poll(bench, objects.sendCq);
        expectCompletion(bench, seen, { wrId: 77, status: WcStatus[name], qpNum: objects.qpn });
        if (name !== 'SUCCESS') expectCompletion(bench, seen, { vendorErr: 0x1234_5678 });
      },
    }),
  ),
  probeStarted({
    id: 'CQ/contents/nothing-else-on-an-error',
    doc: 'On an error the device leaves whatever it likes in opcode, lengths and flags: the completion is handed on, and the device is not blamed.',
    requirements: ['CQ-27', 'OVR-08'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      sends(bench, objects, 1, 2);
      for (const wrId of [1, 2]) {
        const bytes = completionBytes({ wr_id: wrId, qp_num: objects.qpn, status: WcStatus.WR_FLUSH_ERR });
        bytes.fill(0xff, 9, 12).fill(0xff, 16, 24).fill(0xff, 28, 48);
        completeBytes(bench, 0, bytes);
      }
      const seen = poll(bench, objects.sendCq);
      bench.equal(seen.map(({ wrId }) => wrId).join(), '1,2', 'wr_ids polled');
    },
  }),
  probeStarted({
    id: 'CQ/contents/reserved-ignored',
    doc: 'Reserved bytes of a successful completion are ignored, whatever they hold.',
    requirements: ['OVR-08'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      sends(bench, objects, 1);
      const bytes = completionBytes({ wr_id: 1, qp_num: objects.qpn, opcode: WcOpcode.SEND });
      completeBytes(bench, 0, bytes.fill(0xff, 10, 12).fill(0xff, 36));
      expectCompletion(bench, poll(bench, objects.sendCq)[0], { wrId: 1, status: WcStatus.SUCCESS });
    },
  }),
];

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
      bench.equal(bench.log.at(-1), Command.CREATE_CQ, 'the last command');
      bench.equal(wcOpcodes.names.length, 5, 'opcodes of completions');
    },
  }),
];

export const completionCases: readonly ConformanceCase[] = [
  ...bufferCases,
  ...contentCases,
  ...pollCases,
  ...goneCases,
  ...destroyCases,
];

/** Chapter 8: completion buffers, what a completion holds, polling, completions of queue pairs that are gone. */
import { QpType, WcFlag, WcOpcode, WcStatus, WrOpcode, wcStatuses } from '../../../abi/index.js';
import type { WorkCompletion } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { completionBytes } from './encode.js';
import type { CompletionFields } from './encode.js';
import { aRecv, aSend, makeObjects, makeAddress } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, completeBytes, consume, poll, post, postReceive } from './traffic.js';

/** Posts signaled sends, and has the device take and return them. */
export function sends(bench: Bench, { qp, qpn }: Objects, ...wrIds: readonly number[]): void {
  for (const wrId of wrIds) {
    post(bench, qp, aSend(wrId));
    consume(bench, bench.map.sq(qpn));
  }
}
export function receives(bench: Bench, { qp, qpn }: Objects, ...wrIds: readonly number[]): void {
  for (const wrId of wrIds) {
    postReceive(bench, qp, aRecv(wrId));
    consume(bench, bench.map.rq(qpn));
  }
}

export function buffers(bench: Bench, cqn: number): number {
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

export const completionCases: readonly ConformanceCase[] = [...bufferCases, ...contentCases];

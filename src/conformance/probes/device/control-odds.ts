/** What chapter 5 asks of a device beside refusals and frames: chains that are no command, and effects that a result does not show. */
import { AccessFlag, Ack, QpAttrMask, QpState, QpType, WrOpcode } from '../../../abi/index.js';
import { usedRingBytes } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { UNWRITTEN, seen } from './answers.js';
import { Bench } from './bench.js';
import {
  addressVector,
  bytesOf,
  createAh,
  createCq,
  createQp,
  getDmaMr,
  gidOf,
  modifyQp,
  queryPort,
  queryQp,
} from './messages.js';
import { status, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { queuePairIn } from './queue-pair-states.js';
import { expectRefused } from './refusals.js';
import { exchange, furnish, pairOf, qpFields, smallCap, wayUp } from './site.js';
import { connectedOthers } from './broken.js';
import { expectUnchanged, noteBefore } from './unchanged.js';

const frames: readonly ConformanceCase[] = [
  probe(
    {
      id: 'CTRL/frame/unknown-command',
      doc: 'Every command code that is not in the table is refused and changes nothing.',
      requirements: ['CTRL-07', 'CTRL-03', 'CTRL-04', 'CTRL-14', 'CTRL-16'],
    },
    context => {
      const scene = pairOf(context);
      const data = new Uint8Array(128);
      for (let code = 18; code < 255; code++) {
        const answer = scene.a.machine.command(code, data, { writable: 129 }, `command ${code}`);
        const clean = answer.bytes.subarray(1).every(byte => byte === UNWRITTEN);
        if (answer.bytes[0] !== Ack.ERR || answer.used !== 1 || !clean) {
          scene.bench.accuse(['CTRL-07'], `command ${code}: ${seen(answer)}, expected ack 1 alone`);
        }
      }
      expectRefused(scene, ['CTRL-07'], 255, { text: 'command 255', data, how: { writable: 129 } });
      return scene.bench;
    },
  ),
  ...[0, 1].map(length =>
    probe(
      {
        id: `CTRL/frame/${length === 0 ? 'no-readable-byte' : 'one-readable-byte'}`,
        doc: `A chain with ${length === 0 ? 'no readable byte' : 'one readable byte'} is refused and changes nothing.`,
        requirements: ['CTRL-08', 'CTRL-03', 'CTRL-04', 'CTRL-14', 'CTRL-16'],
      },
      context => {
        const scene = pairOf(context);
        const { a, bench } = scene;
        const what = `${length} readable bytes`;
        const before = noteBefore(scene);
        const readable = Uint8Array.of(a.machine.profile.controlClass).subarray(0, length);
        const pending = a.machine.prepareBytes(readable, 33, {}, what);
        before.memories[0].set(a.machine.memory.bytes);
        const [answer] = a.machine.answers([pending]);
        if (answer.bytes[0] !== Ack.ERR || answer.used !== 1) {
          bench.accuse(['CTRL-08'], `${what}: ${seen(answer)}, expected ack 1 and used length 1`);
        }
        const { addresses, size } = a.machine.control;
        expectUnchanged(scene, before, ['CTRL-08'], what, [
          { address: pending.address, length: 1 },
          { address: addresses.device, length: usedRingBytes(size) },
          { address: addresses.driver, length: 4 + 2 * size },
        ]);
        return bench;
      },
    ),
  ),
  probe(
    {
      id: 'VQ/used/length-is-what-was-written',
      doc: 'With much room behind every answer, no used length counts a byte that the device did not write.',
      requirements: ['VQ-37', 'CTRL-02', 'CTRL-04', 'CTRL-12'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const commands = [queryPort.code, 99, createCq.code];
      for (const code of commands) {
        const answer = a.machine.command(
          code,
          Uint8Array.of(1, 0, 0, 0),
          { writable: 500 },
          `command ${code}`,
        );
        const written = answer.bytes.findLastIndex(byte => byte !== UNWRITTEN) + 1;
        if ((answer.used ?? 0) > written) {
          bench.accuse(
            ['VQ-37'],
            `command ${code}: used length ${answer.used}, and ${written} bytes were written`,
          );
        }
      }
      return bench;
    },
  ),
];

const effects: readonly ConformanceCase[] = [
  probe(
    {
      id: 'CTRL/get-dma-mr/guest-physical',
      doc: 'An address in the region of GET_DMA_MR is the guest-physical address of the same value.',
      requirements: ['CTRL-52', 'MEM-12', 'MEM-14'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { lkey } = a.machine.must(getDmaMr, { pdn: a.pdn, access_flags: 0 });
      const bytes = Uint8Array.from({ length: 40 }, (_, i) => 3 * i);
      const addr = a.machine.place(bytes);
      b.machine.postRecv(b.qpn, 2, [{ addr: b.region.address, length: 64, lkey: b.region.lkey }]);
      a.machine.postSend(a.qpn, { wrId: 1, sges: [{ addr, length: 40, lkey }] });
      bench.run();
      bench.same(['CTRL-52', 'MEM-14'], 'completions', [statusesOf(a), statusesOf(b)], [[[1, 0]], [[2, 0]]]);
      bench.same(
        ['CTRL-52'],
        'bytes that arrived',
        [...b.machine.memory.copy(b.region.address, 40)],
        [...bytes],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/create-qp/two-completion-queues',
      doc: 'A queue pair may have one completion queue for both directions, or one each, and completes into its own.',
      requirements: ['CTRL-83', 'CQ-19'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { cqn } = a.machine.must(createCq, { cqe: 4 });
      a.machine.addBuffers(cqn, 4);
      const fields = qpFields(a, { recv_cqn: cqn, qp_type: QpType.UC });
      const { qpn } = a.machine.must(createQp, fields, ['CTRL-83']);
      for (const step of wayUp(QpType.UC, gidOf(77), 2))
        a.machine.must(modifyQp, { qpn, ...step }, ['QP-32']);
      a.machine.postRecv(qpn, 1);
      a.machine.postSend(qpn, { wrId: 2 });
      bench.run();
      a.machine.must(modifyQp, { qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.ERR }, ['QP-32']);
      bench.run();
      const seenOn = [a.cqn, cqn].map(queue => a.machine.poll(queue).map(({ wr_id }) => wr_id));
      bench.same(['CTRL-83'], 'wr_ids by completion queue', seenOn, [[2], [1]]);
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/modify-qp/requests-before-it',
      doc: 'A send made available in SQE just before the move to RTS is flushed, as one that was posted before.',
      requirements: ['CTRL-88', 'QP-60', 'QP-62'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { machine } = a;
      const qpn = queuePairIn(bench, a, QpType.UC, QpState.SQE);
      machine.postSend(qpn, { wrId: 1 });
      machine.must(modifyQp, { qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.RTS }, ['QP-32']);
      machine.postSend(qpn, { wrId: 2 });
      bench.run();
      bench.same(['CTRL-88', 'QP-62'], 'completions', statusesOf(a), [
        [1, status.WR_FLUSH_ERR],
        [2, status.SUCCESS],
      ]);
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/query-qp/every-field',
      doc: 'QUERY_QP answers every field whatever is asked for: what was set since RESET, capacities as granted, zero in padding.',
      requirements: ['CTRL-90', 'CTRL-92', 'QP-39', 'QP-23', 'OVR-05'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const ask = (mask: number): number[] => {
        const data = bytesOf(queryQp.request, { qpn: a.qpn, attr_mask: mask });
        return [
          ...a.machine.command(queryQp.code, data, { writable: 121 }, `QUERY_QP with mask ${mask}`).bytes,
        ];
      };
      const first = ask(0);
      for (const mask of [1, 0xffff_ffff, QpAttrMask.QKEY])
        bench.same(['CTRL-90'], 'the answer for another mask', ask(mask), first);
      const got = a.machine.must(queryQp, { qpn: a.qpn, attr_mask: 0 });
      const [init, rtr, rts] = wayUp(QpType.RC, b.gid, b.qpn);
      const expected = {
        qp_state: QpState.RTS,
        path_mtu: rtr.path_mtu,
        max_rd_atomic: rts.max_rd_atomic,
        max_dest_rd_atomic: rtr.max_dest_rd_atomic,
        min_rnr_timer: rtr.min_rnr_timer,
        timeout: rts.timeout,
        retry_cnt: rts.retry_cnt,
        rnr_retry: rts.rnr_retry,
        dest_qp_num: rtr.dest_qp_num,
        qp_access_flags: init.qp_access_flags,
        cap: smallCap,
        dgid: [...b.gid],
      };
      const shown = {
        qp_state: got.qp_state,
        path_mtu: got.path_mtu,
        max_rd_atomic: got.max_rd_atomic,
        max_dest_rd_atomic: got.max_dest_rd_atomic,
        min_rnr_timer: got.min_rnr_timer,
        timeout: got.timeout,
        retry_cnt: got.retry_cnt,
        rnr_retry: got.rnr_retry,
        dest_qp_num: got.dest_qp_num,
        qp_access_flags: got.qp_access_flags,
        cap: got.cap,
        dgid: [...got.ah_attr.grh.dgid],
      };
      bench.same(['QP-39', 'CTRL-92'], 'what QUERY_QP shows', shown, expected);
      const padding = [...first.slice(10, 17), ...first.slice(105, 121)].filter(byte => byte !== 0);
      bench.same(['OVR-05'], 'padding and reserved bytes', padding, []);
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/create-ah/to-nobody',
      doc: 'An address handle for a GID that nobody has is accepted.',
      requirements: ['CTRL-98'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      a.machine.must(createAh, { pdn: a.pdn, ah_attr: addressVector(gidOf(4242)) }, ['CTRL-98']);
      exchange(scene, ['CTRL-98']);
      return bench;
    },
  ),
  probe(
    {
      id: 'QP/modify-qp/low-24-bits',
      doc: 'Of rq_psn, sq_psn and dest_qp_num the low 24 bits count: two queue pairs so connected talk.',
      requirements: ['QP-38', 'QP-44', 'QP-28', 'QP-31'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      for (const [side, peer] of [
        [a, b],
        [b, a],
      ] as const) {
        const { machine, qpn } = side;
        const [init, rtr, rts] = wayUp(QpType.RC, peer.gid, peer.qpn);
        // Members that a mask does not name hold nonsense.
        const nonsense = { qkey: 0xffff_ffff, rate_limit: 0xffff_ffff, cur_qp_state: 99 };
        machine.must(
          modifyQp,
          { qpn, ...nonsense, timeout: 255, attr_mask: QpAttrMask.STATE, qp_state: QpState.RESET },
          ['QP-44', 'QP-31'],
        );
        machine.must(modifyQp, { qpn, ...nonsense, retry_cnt: 99, ...init }, ['QP-44', 'QP-31']);
        machine.must(
          modifyQp,
          { qpn, qp_state: 6, attr_mask: QpAttrMask.ACCESS_FLAGS, qp_access_flags: AccessFlag.REMOTE_READ },
          ['QP-28', 'QP-31'],
        );
        machine.must(
          modifyQp,
          { qpn, ...nonsense, ...rtr, rq_psn: 0xab00_0064, dest_qp_num: 0xcd00_0000 + peer.qpn },
          ['QP-38'],
        );
        machine.must(modifyQp, { qpn, ...nonsense, path_mtu: 77, ...rts, sq_psn: 0xef00_0064 }, ['QP-38']);
      }
      exchange(scene, ['QP-38']);
      const { dest_qp_num, qp_access_flags } = a.machine.must(queryQp, { qpn: a.qpn, attr_mask: 0 });
      bench.same(
        ['QP-38', 'QP-28'],
        'dest_qp_num and rights',
        [dest_qp_num, qp_access_flags],
        [b.qpn, AccessFlag.REMOTE_READ],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'QP/create/gsi-is-number-1',
      doc: 'A GSI queue pair gets number 1, on each machine.',
      requirements: ['QP-04'],
    },
    context => {
      const scene = pairOf(context, { type: QpType.GSI });
      scene.bench.same(['QP-04'], 'numbers of two GSI queue pairs', [scene.a.qpn, scene.b.qpn], [1, 1]);
      return scene.bench;
    },
  ),
];

const memory: readonly ConformanceCase[] = [
  probe(
    {
      id: 'MEM/gather/different-regions',
      doc: 'The elements of one request lie in different regions and the bytes come in the order of the list, as they were written last.',
      requirements: ['MEM-25', 'MEM-28', 'DATA-37', 'DATA-38', 'DATA-39', 'DATA-42'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { machine, pdn } = a;
      const { lkey } = machine.must(getDmaMr, { pdn, access_flags: 0 });
      const other = machine.place(Uint8Array.of(5, 6, 7, 8));
      machine.memory.put(a.region.address, Uint8Array.of(1, 2, 3, 4));
      b.machine.memory.put(b.region.address, new Uint8Array(32).fill(0x99));
      const to = (at: number, length: number) => ({
        addr: b.region.address + at,
        length,
        lkey: b.region.lkey,
      });
      b.machine.postRecv(b.qpn, 2, [to(16, 3), { addr: 1, length: 0, lkey: 0 }, to(0, 8)]);
      const sges = [
        { addr: a.region.address + 1, length: 3, lkey: a.region.lkey },
        { addr: 1, length: 0, lkey: 0x7777_7777 },
        { addr: other, length: 4, lkey },
      ];
      a.machine.postSend(a.qpn, { wrId: 1, sges });
      bench.run();
      bench.same(['MEM-25', 'DATA-42'], 'completions', [statusesOf(a), statusesOf(b)], [[[1, 0]], [[2, 0]]]);
      const got = [...b.machine.memory.copy(b.region.address, 20)];
      const rest = Array.from({ length: 12 }, () => 0x99);
      bench.same(['DATA-37', 'DATA-38', 'DATA-39', 'MEM-28'], 'memory of the receiver', got, [
        5,
        6,
        7,
        8,
        ...rest,
        2,
        3,
        4,
        0x99,
      ]);
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/reset/leaves-others-alone',
      doc: 'The reset of one machine changes no object of another.',
      requirements: ['ISO-15'],
    },
    context => {
      const bench = new Bench(context, { machines: 3 });
      const others = connectedOthers(bench);
      const me = furnish(bench.me);
      me.machine.start();
      exchange({ bench, ...others }, ['ISO-15']);
      const again = furnish(bench.me);
      bench.same(['RST-36'], 'the number of the new queue pair', again.qpn, me.qpn);
      return bench;
    },
  ),
  probe(
    {
      id: 'DATA/write/without-a-receive',
      doc: 'An RDMA_WRITE and an RDMA_READ use no receive, and one of length 0 looks at no key.',
      requirements: ['DATA-44', 'DATA-41', 'DATA-40', 'DATA-47', 'MEM-18'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const rdma = { remote_addr: b.region.address, rkey: b.region.rkey };
      b.machine.postRecv(b.qpn, 9);
      const own = { addr: a.region.address, length: 8, lkey: a.region.lkey };
      a.machine.postSend(a.qpn, {
        wrId: 1,
        opcode: WrOpcode.RDMA_WRITE,
        inline: Uint8Array.of(9, 8, 7),
        rdma,
      });
      a.machine.postSend(a.qpn, { wrId: 2, opcode: WrOpcode.RDMA_READ, sges: [own], rdma });
      for (const opcode of [WrOpcode.RDMA_WRITE, WrOpcode.RDMA_READ]) {
        a.machine.postSend(a.qpn, { wrId: 3, opcode, rdma: { remote_addr: 1, rkey: 0x7777_7777 } });
      }
      bench.run();
      bench.same(
        ['DATA-44', 'DATA-41', 'DATA-40'],
        'completions',
        [statusesOf(a), statusesOf(b)],
        [
          [
            [1, 0],
            [2, 0],
            [3, 0],
            [3, 0],
          ],
          [],
        ],
      );
      bench.same(['DATA-47'], 'bytes read back', [...a.machine.memory.copy(a.region.address, 3)], [9, 8, 7]);
      return bench;
    },
  ),
];

export const controlOddCases = [...frames, ...effects];
export const furtherMemoryCases = memory;

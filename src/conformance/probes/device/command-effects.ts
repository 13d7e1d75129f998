/** Effects of commands that a result does not show, and lives of objects from end to end. */
import { AccessFlag, Ack, QpAttrMask, QpState, QpType } from '../../../abi/index.js';
import { FeatureBit } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import {
  addGid,
  addressVector,
  bytesOf,
  createAh,
  createCq,
  createPd,
  createQp,
  delGid,
  deregMr,
  destroyAh,
  destroyCq,
  destroyPd,
  destroyQp,
  getDmaMr,
  gidOf,
  modifyQp,
  queryQp,
  reqNotifyCq,
  sendRequest,
} from './messages.js';
import { status, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { queuePairIn } from './queue-pair-states.js';
import { exchange, pairOf, qpFields, smallCap, wayUp } from './site.js';

const effects: readonly ConformanceCase[] = [
  probe(
    {
      id: 'CTRL/life/again-and-again',
      doc: 'Objects of every kind are made, used and ended many times over, the same GID too, and every command is acknowledged.',
      requirements: ['CTRL-01', 'CTRL-108', 'CTRL-109', 'RST-04', 'RST-24', 'QP-10'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      const { machine, pdn } = a;
      const owed = ['CTRL-01', 'RST-24'];
      for (let round = 0; round < 5; round++) {
        machine.must(addGid, { index: 1, gid: gidOf(0, 9) }, ['CTRL-109', 'CTRL-01']);
        const { ah } = machine.must(createAh, { pdn, ah_attr: addressVector(a.gid, 1) }, owed);
        machine.must(delGid, { index: 1 }, ['CTRL-108', 'CTRL-01']);
        machine.must(destroyAh, { pdn, ah }, ['RST-04', 'CTRL-01']);
        const { cqn } = machine.must(createCq, { cqe: 2 }, owed);
        machine.must(reqNotifyCq, { cqn, flags: 1 }, owed);
        const { qpn } = machine.must(createQp, qpFields(a, { send_cqn: cqn }), owed);
        machine.must(destroyQp, { qpn }, ['QP-10', 'CTRL-01']);
        machine.must(destroyCq, { cqn }, owed);
        const { pdn: other } = machine.must(createPd, {}, owed);
        const { mrn } = machine.must(getDmaMr, { pdn: other, access_flags: 0 }, owed);
        machine.must(deregMr, { mrn }, ['RST-04', 'CTRL-01']);
        machine.must(destroyPd, { pdn: other }, owed);
      }
      exchange(scene, ['CTRL-01']);
      return bench;
    },
  ),
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
      id: 'CTRL/modify-qp/requests-before-it-without-a-kick',
      doc: 'A send made available in SQE before the move to RTS is flushed, though the device is told of it behind the command only.',
      requirements: ['CTRL-88', 'QP-60'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { machine } = a;
      const qpn = queuePairIn(bench, a, QpType.UC, QpState.SQE);
      const index = machine.queues.sq(qpn);
      const ring = machine.ring(index);
      const request = sendRequest({ wrId: 1 });
      ring.add([{ address: machine.place(request), length: request.length }]);
      ring.publish();
      const toRts = bytesOf(modifyQp.request, { qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.RTS });
      const pending = machine.prepare(modifyQp.code, toRts, {}, 'MODIFY_QP to RTS');
      machine.publish(machine.queues.control);
      if (ring.kickWanted(machine.has(FeatureBit.EVENT_IDX))) machine.kick(index);
      const [answer] = machine.answers([pending]);
      bench.same(['QP-32'], 'ack of the move', answer.bytes[0], Ack.OK);
      bench.same(['CTRL-88', 'QP-60'], 'completions', statusesOf(a), [[1, status.WR_FLUSH_ERR]]);
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/query-qp/every-field',
      doc: 'QUERY_QP answers every field whatever is asked for: what was set since RESET, capacities as granted, zero in padding.',
      requirements: ['CTRL-90', 'CTRL-91', 'CTRL-92', 'QP-39', 'QP-23', 'OVR-05'],
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
      const { qpn } = a.machine.must(createQp, qpFields(a));
      const data = bytesOf(queryQp.request, { qpn, attr_mask: 0 });
      const fresh = a.machine.command(queryQp.code, data, { writable: 121 }, 'QUERY_QP of a new queue pair');
      const vector = [...fresh.bytes.subarray(65, 105)].filter(byte => byte !== 0);
      bench.same(['CTRL-91'], 'bytes other than zero of an address vector that was never set', vector, []);
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

export const commandEffectCases = effects;

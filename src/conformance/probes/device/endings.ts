/** Chapter 12 and the life of queue pairs asked of a device: what has happened when a destroy or a reset is acknowledged. */
import { AccessFlag, QpAttrMask, QpState, QpType, WrOpcode } from '../../../abi/index.js';
import { Bench } from './bench.js';
import {
  addGid,
  createAh,
  createCq,
  createPd,
  createQp,
  delGid,
  deregMr,
  destroyAh,
  destroyPd,
  destroyQp,
  gidOf,
  modifyQp,
  queryDevice,
  queryQp,
  addressVector,
} from './messages.js';
import { status, stateOf, statusesOf } from './outcomes.js';
import { probe } from './probe-case.js';
import { bringTo, queuePairIn, statesOf } from './queue-pair-states.js';
import { QKEY, connect, exchange, furnish, handleFor, lonely, pairOf, qpFields, register } from './site.js';
import type { Side } from './site.js';

const { STATE } = QpAttrMask;

const toReset = ({ machine, qpn }: Side): unknown =>
  machine.must(modifyQp, { qpn, attr_mask: STATE, qp_state: QpState.RESET }, ['QP-32']);
const destroy = ({ machine, qpn }: Side): unknown => machine.must(destroyQp, { qpn }, ['QP-10']);

const underLoad = (
  [
    ['destroy', 'DESTROY_QP', destroy],
    ['to-reset', 'A move to RESET', toReset],
  ] as const
).flatMap(([slug, doc, end]) => [
  probe(
    {
      id: `RST/queue-pair/${slug}-under-load`,
      doc: `${doc} of a queue pair under load returns every chain with length 0, taken or not, completes none, and rewinds nothing.`,
      requirements: ['QP-41', 'QP-42', 'RST-05', 'RST-07', 'ORD-14', 'DATA-27'],
    },
    context => {
      const { bench, a } = lonely(context, { cap: { max_send_wr: 3, max_recv_wr: 3 } });
      const { machine, qpn } = a;
      const { queues } = machine;
      const sends = [1, 2, 3, 4, 5].map(
        wrId => machine.postSend(qpn, { wrId, inline: new Uint8Array(4) }).head,
      );
      const recvs = [1, 2, 3, 4, 5].map(wrId => machine.postRecv(qpn, wrId).head);
      for (let steps = 0; bench.packets === 0 && steps < 1000; steps++) bench.scheduler.step();
      bench.same(
        ['DATA-27'],
        'chains back while nothing is acknowledged',
        machine.returned(queues.sq(qpn)).length,
        0,
      );
      end(a);
      const back = [queues.sq(qpn), queues.rq(qpn)].map(index =>
        machine.returned(index).map(({ id, length }) => [id, length]),
      );
      bench.same(['QP-42', 'RST-07', 'ORD-14'], 'heads and used lengths of both queues', back, [
        sends.map(head => [head, 0]),
        recvs.map(head => [head, 0]),
      ]);
      bench.same(['QP-41'], 'completions', statusesOf(a), []);
      bench.same(
        ['RST-05'],
        'used indices',
        [machine.ring(queues.sq(qpn)).usedIdx, machine.ring(queues.rq(qpn)).usedIdx],
        [5, 5],
      );
      return bench;
    },
  ),
  probe(
    {
      id: `RST/queue-pair/${slug}-ends-packets`,
      doc: `${doc} ends all packets of the queue pair: retries that were due are not sent.`,
      requirements: ['RST-08', 'QP-11'],
    },
    context => {
      const { bench, a } = lonely(context);
      a.machine.postSend(a.qpn, { wrId: 1, inline: new Uint8Array(4) });
      for (let steps = 0; bench.packets === 0 && steps < 1000; steps++) bench.scheduler.step();
      const pending = a.machine.prepare(
        slug === 'destroy' ? destroyQp.code : modifyQp.code,
        endBytes(a, slug),
        {},
        doc,
      );
      a.machine.publish(a.machine.queues.control);
      for (let steps = 0; a.machine.control.usedIdx === a.machine.control.usedSeen && steps < 1000; steps++)
        bench.scheduler.step();
      const sent = bench.packets;
      bench.run();
      const [element] = a.machine.returned(a.machine.queues.control);
      bench.same(['RST-08'], 'the command', element?.id, pending.chain.head);
      bench.same(['RST-08'], 'packets after the OK', bench.packets - sent, 0);
      return bench;
    },
  ),
  probe(
    {
      id: `RST/queue-pair/${slug}-keeps-completions`,
      doc: `${doc} leaves the completions that are there, and they are in the ring before the OK.`,
      requirements: ['QP-43', 'CQ-54', 'QP-41'],
    },
    context => {
      const { bench, a } = lonely(context);
      for (const wrId of [1, 2, 3]) a.machine.postRecv(a.qpn, wrId);
      a.machine.must(modifyQp, { qpn: a.qpn, attr_mask: STATE, qp_state: QpState.ERR }, ['QP-32']);
      bench.run();
      end(a);
      bench.same(
        ['QP-43', 'CQ-54'],
        'completions by wr_id and status',
        statusesOf(a),
        [1, 2, 3].map(wrId => [wrId, status.WR_FLUSH_ERR]),
      );
      return bench;
    },
  ),
]);

function endBytes({ qpn }: Side, slug: 'destroy' | 'to-reset'): Uint8Array {
  const data = new Uint8Array(slug === 'destroy' ? 4 : 128);
  const view = new DataView(data.buffer);
  view.setUint32(0, qpn, true);
  if (slug === 'to-reset') view.setUint32(4, STATE, true);
  return data;
}

const queuePairs = [
  probe(
    {
      id: 'QP/create/starts-anew',
      doc: 'A queue pair with a number used before starts in RESET with no attribute, request or packet of the earlier one.',
      requirements: ['QP-12', 'QP-08', 'QP-03', 'QP-40', 'CTRL-91', 'CTRL-92'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      const fresh = a.machine.must(createQp, qpFields(a));
      const expected = a.machine.must(queryQp, { qpn: fresh.qpn, attr_mask: 0 });
      exchange(scene, ['QP-12']);
      destroy(a);
      bench.same(['QP-03'], 'the number', a.machine.must(createQp, qpFields(a)).qpn, a.qpn);
      const got = a.machine.must(queryQp, { qpn: a.qpn, attr_mask: 0 });
      bench.same(['QP-12', 'QP-40'], 'QUERY_QP of the new one and of one with a fresh number', got, expected);
      bench.same(['QP-08'], 'the state', got.qp_state, QpState.RESET);
      connect(a, scene.b);
      bringTo(bench, scene.b, scene.b, QpState.RESET);
      connect(scene.b, a);
      exchange(scene, ['QP-12']);
      return bench;
    },
  ),
  ...(['RC', 'UC', 'UD'] as const).map(name =>
    probe(
      {
        id: `QP/destroy/in-every-state-${name.toLowerCase()}`,
        doc: `DESTROY_QP of ${name} is accepted in every state, and the number comes free at once.`,
        requirements: ['QP-10', 'RST-24', 'QP-03'],
      },
      context => {
        const { a, bench } = pairOf(context);
        const type = QpType[name];
        for (const state of statesOf(type)) {
          const qpn = queuePairIn(bench, a, type, state);
          bench.same(['QP-03', 'RST-24'], `the number in state ${state}`, qpn, a.qpn + 1);
          a.machine.must(destroyQp, { qpn }, ['QP-10']);
        }
        return bench;
      },
    ),
  ),
  ...(['send', 'receive'] as const).map(half =>
    probe(
      {
        id: `QP/ring/${half}s-wait-until-ready`,
        doc:
          half === 'send'
            ? 'Sends stay unread in the ring in RESET, INIT and RTR, and are taken in RTS.'
            : 'Receives stay unread in the ring in RESET, and are taken from INIT on.',
        requirements: half === 'send' ? ['QP-17', 'CTRL-24', 'QP-22'] : ['QP-18', 'QP-19', 'CTRL-24'],
      },
      context => {
        const scene = pairOf(context);
        const { a, b, bench } = scene;
        const { queues } = a.machine;
        const index = half === 'send' ? queues.sq(a.qpn) : queues.rq(a.qpn);
        toReset(a);
        toReset(b);
        const ring = a.machine.ring(index);
        const before = ring.usedIdx;
        const part =
          half === 'send'
            ? a.machine.postSend(a.qpn, { wrId: 9 }).parts[0]
            : a.machine.postRecv(a.qpn, 9).parts[0];
        let reads = 0;
        a.machine.memory.watch = {
          read: at => (reads += at >= part.address && at < part.address + part.length ? 1 : 0),
        };
        bench.run();
        connect(a, b, half === 'send' ? QpState.RTR : QpState.RESET);
        a.machine.transport.notify(index);
        bench.run();
        bench.same(
          [half === 'send' ? 'QP-17' : 'QP-18'],
          'readings of the request and chains back',
          [reads, ring.usedIdx - before],
          [0, 0],
        );
        toReset(a);
        // What was in the ring has come back with the move to RESET; a new one waits in its place.
        a.machine.returned(index);
        if (half === 'send') a.machine.postSend(a.qpn, { wrId: 8 });
        else a.machine.postRecv(a.qpn, 8);
        connect(b, a);
        if (half === 'send') b.machine.postRecv(b.qpn, 1);
        connect(a, b);
        if (half === 'receive') b.machine.postSend(b.qpn, { wrId: 1 });
        bench.run();
        bench.same(['QP-22', 'CTRL-24'], 'completions when both are ready', statusesOf(a), [
          [8, status.SUCCESS],
        ]);
        return bench;
      },
    ),
  ),
  probe(
    {
      id: 'DATA/capacity/held-to-what-was-granted',
      doc: 'Of many receives the device holds as many as were granted; the others wait in the ring, unread, and follow without a notification.',
      requirements: ['DATA-29', 'DATA-30', 'ISO-19'],
    },
    context => {
      const scene = pairOf(context, { cap: { max_recv_wr: 2 } });
      const { a, b, bench } = scene;
      const read = new Set<number>();
      const places: number[] = [];
      b.machine.memory.watch = {
        read: (at, length) =>
          places.forEach((place, i) => (at <= place && place < at + length ? read.add(i) : 0)),
      };
      for (let i = 0; i < 5; i++) {
        const part = { address: b.machine.alloc(24), length: 24 };
        places.push(part.address);
        b.machine.memory.bytes[b.machine.memory.at(part.address)] = i + 1;
        b.machine.offer(b.machine.queues.rq(b.qpn), [part]);
      }
      bench.run();
      bench.same(['DATA-29'], 'receives read of five, with max_recv_wr 2', [...read], [0, 1]);
      for (let i = 0; i < 5; i++) a.machine.postSend(a.qpn, { wrId: i });
      bench.run();
      b.machine.memory.watch = undefined;
      bench.same(
        ['DATA-30', 'ORD-02'],
        'completions of the receives',
        statusesOf(b),
        [1, 2, 3, 4, 5].map(wrId => [wrId, status.SUCCESS]),
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'QP/drain/state-is-refused',
      doc: 'While a started send is unfinished in SQD, sq_draining is 1 and STATE is refused unless it leads to ERR or RESET.',
      requirements: ['QP-56', 'QP-57', 'QP-54', 'QP-30'],
    },
    context => {
      const { a, bench } = lonely(context);
      const { machine, qpn } = a;
      machine.postSend(qpn, { wrId: 1, inline: new Uint8Array(4) });
      for (let steps = 0; bench.packets === 0 && steps < 1000; steps++) bench.scheduler.step();
      // The commands are all in the ring before the retries are spent, so the send is still unfinished when they are carried out.
      const commands = [QpState.SQD, QpState.RTS, QpState.SQD].map(state => {
        const data = new Uint8Array(128);
        const view = new DataView(data.buffer);
        view.setUint32(0, qpn, true);
        view.setUint32(4, STATE, true);
        view.setUint8(8, state);
        return machine.prepare(modifyQp.code, data, {}, `MODIFY_QP to ${state}`);
      });
      const query = new Uint8Array(8);
      new DataView(query.buffer).setUint32(0, qpn, true);
      const asked = machine.prepare(queryQp.code, query, { writable: 121 }, 'QUERY_QP');
      const answers = machine.answers([...commands, asked]);
      const acks = answers.slice(0, 3).map(({ bytes }) => bytes[0]);
      bench.same(['QP-57'], 'acks of the moves to SQD, RTS and SQD', acks, [0, 1, 1]);
      const { bytes } = answers[3];
      bench.same(
        ['QP-56', 'QP-30'],
        'state and sq_draining meanwhile',
        [bytes[1], bytes[3]],
        [QpState.SQD, 1],
      );
      return bench;
    },
  ),
];

const keys = [
  probe(
    {
      id: 'RST/region/keys-are-not-reused',
      doc: 'A region gets no key that any of the 254 regions registered before it had.',
      requirements: ['RST-27', 'CTRL-68', 'RST-28', 'RST-24'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { machine, pdn, region } = a;
      const recent: number[] = [];
      for (let i = 0; i < 520; i++) {
        const { mrn, lkey, rkey } = register(machine, pdn, region.address, 4096);
        if (lkey === 0 || rkey === 0)
          bench.accuse(['CTRL-68'], `keys ${lkey} and ${rkey} of a region with all rights`);
        if (recent.includes(lkey))
          bench.accuse(['RST-27'], `lkey ${lkey} of region ${i} was one of the last 254`);
        recent.push(lkey);
        if (recent.length > 254) recent.shift();
        machine.must(deregMr, { mrn });
        machine.memory.forbid(region.address, 4096);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/register/remote-key-with-remote-right',
      doc: 'A region has an rkey other than 0 exactly when it has a remote right.',
      requirements: ['CTRL-68', 'RST-28'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { machine, pdn, region } = a;
      for (const access of [0, 1, 3, 4, 5, 7]) {
        const { mrn, lkey, rkey } = register(machine, pdn, region.address, 4096, access);
        bench.same(
          ['CTRL-68'],
          `whether lkey and rkey are other than 0, with rights ${access}`,
          [lkey !== 0, rkey !== 0],
          [true, (access & 6) !== 0],
        );
        machine.must(deregMr, { mrn });
        if ((access & AccessFlag.LOCAL_WRITE) !== 0) machine.memory.forbid(region.address, 4096);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'RST/region/ends-a-posted-receive',
      doc: 'A receive posted long ago touches nothing after the OK of DEREG_MR.',
      requirements: ['RST-16', 'RST-17', 'RST-04', 'ERR-17'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { machine, pdn, region } = b;
      const gone = register(machine, pdn, region.address + 4096, 64);
      machine.postRecv(b.qpn, 5, [{ addr: gone.address, length: 64, lkey: gone.lkey }]);
      bench.run();
      machine.must(deregMr, { mrn: gone.mrn }, ['RST-04']);
      const before = [...machine.memory.copy(gone.address, 64)];
      a.machine.postSend(a.qpn, { wrId: 1, inline: new Uint8Array(32).fill(9) });
      bench.run();
      bench.same(
        ['RST-16'],
        'bytes of the region that is gone',
        [...machine.memory.copy(gone.address, 64)],
        before,
      );
      bench.same(
        ['RST-17'],
        'both completions',
        [statusesOf(a), statusesOf(b)],
        [[[1, status.REM_OP_ERR]], [[5, status.LOC_PROT_ERR]]],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'MEM/page-list/kept-by-the-device',
      doc: 'What is written over a page list after the command changes nothing; pages are found in the order of the list, twice the same one too.',
      requirements: ['MEM-04', 'CTRL-67', 'MEM-06', 'MEM-05', 'MEM-27'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { machine, pdn, region } = b;
      const [first, second] = [region.address, region.address + 4096];
      const data = new Uint8Array(32 + 24);
      const view = new DataView(data.buffer);
      view.setUint32(0, pdn, true);
      view.setUint32(4, 7, true);
      view.setBigUint64(8, 0x7700_0ff0n, true);
      view.setBigUint64(16, 0x1020n, true);
      view.setUint32(24, 3, true);
      for (const [i, page] of [second, first, second].entries())
        view.setBigUint64(32 + 8 * i, BigInt(page), true);
      const pending = machine.prepare(7, data, { writable: 13 }, 'REG_USER_MR of three pages');
      const [answer] = machine.answers([pending]);
      machine.memory.put(pending.chain.parts[0].address, new Uint8Array(58));
      const rkey = new DataView(answer.bytes.buffer).getUint32(9, true);
      machine.memory.put(
        second,
        Uint8Array.from({ length: 4096 }, (_, i) => i & 0x7f),
      );
      machine.memory.put(
        first,
        Uint8Array.from({ length: 4096 }, (_, i) => 0x80 | (i & 0x7f)),
      );
      const rdma = { remote_addr: 0x7700_0ff0, rkey };
      const sges = [{ addr: a.region.address, length: 0x1020, lkey: a.region.lkey }];
      a.machine.postSend(a.qpn, { wrId: 1, opcode: WrOpcode.RDMA_READ, sges, rdma });
      bench.run();
      bench.same(['CTRL-67', 'MEM-04', 'MEM-06'], 'the read', statusesOf(a), [[1, status.SUCCESS]]);
      const expected = [
        ...machine.memory.copy(second + 0xff0, 16),
        ...machine.memory.copy(first, 4096),
        ...machine.memory.copy(second, 16),
      ];
      bench.same(
        ['CTRL-67', 'MEM-04'],
        'the bytes read',
        [...a.machine.memory.copy(a.region.address, 0x1020)],
        expected,
      );
      return bench;
    },
  ),
];

const limits = [
  probe(
    {
      id: 'RST/limits/every-object-and-no-more',
      doc: 'As many objects of each kind can be made as are advertised, whatever another machine has, and again after they are destroyed.',
      requirements: ['RST-22', 'RST-23', 'RST-24', 'ISO-16', 'CTRL-20', 'CTRL-19', 'QP-03'],
    },
    context => {
      const bench = new Bench(context);
      const { me, neighbour } = bench;
      for (const machine of [neighbour, me, me]) {
        const most = machine.must(queryDevice);
        machine.start();
        machine.must(addGid, { index: 0, gid: gidOf(machine.vm) }, ['CTRL-109']);
        const pds = Array.from({ length: most.max_pd }, () => machine.must(createPd).pdn);
        bench.same(['RST-23'], 'one protection domain more', machine.ask(createPd), undefined);
        const cqns = Array.from({ length: machine.maxCqs }, () => machine.must(createCq, { cqe: 1 }).cqn);
        bench.same(
          ['CTRL-19'],
          'numbers of completion queues',
          cqns,
          cqns.map((_, i) => i),
        );
        const fields = qpFields({ pdn: pds[0], cqn: 0 });
        const qpns = Array.from({ length: machine.maxQps - 2 }, () => machine.must(createQp, fields).qpn);
        bench.same(
          ['QP-03'],
          'numbers of queue pairs',
          qpns,
          qpns.map((_, i) => i + 2),
        );
        const ah_attr = addressVector(gidOf(1));
        const ahs = Array.from(
          { length: most.max_ah },
          () => machine.must(createAh, { pdn: pds[0], ah_attr }).ah,
        );
        bench.same(
          ['RST-23'],
          'one address handle more',
          machine.ask(createAh, { pdn: pds[0], ah_attr }),
          undefined,
        );
        machine.must(destroyAh, { pdn: pds[0], ah: ahs[1] }, ['RST-04']);
        machine.must(createAh, { pdn: pds[0], ah_attr }, ['RST-24']);
        machine.must(destroyPd, { pdn: pds[1] });
        machine.must(createPd, {}, ['RST-24']);
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'CTRL/gid/freed-and-taken',
      doc: 'A GID that DEL_GID, a replacement or a reset has freed can be taken by another machine; an entry in use can be deleted.',
      requirements: ['CTRL-105', 'CTRL-108', 'CTRL-109', 'RST-20'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      const [first, second] = [gidOf(5, 1), gidOf(5, 2)];
      a.machine.must(addGid, { index: 1, gid: first }, ['CTRL-109']);
      a.machine.must(addGid, { index: 1, gid: second }, ['CTRL-105']);
      b.machine.must(addGid, { index: 1, gid: first }, ['CTRL-105', 'CTRL-109']);
      a.machine.must(delGid, { index: 1 });
      b.machine.must(addGid, { index: 2, gid: second }, ['CTRL-109']);
      b.machine.must(delGid, { index: 0 }, ['CTRL-108']);
      b.machine.postRecv(b.qpn, 1);
      a.machine.postSend(a.qpn, { wrId: 1, inline: new Uint8Array(4) });
      bench.run();
      bench.same(
        ['RST-20', 'CTRL-108'],
        'completions when the GID of the peer is gone',
        [statusesOf(a), statusesOf(b)],
        [[[1, status.RETRY_EXC_ERR]], []],
      );
      bench.same(['CTRL-108'], 'the state of the peer', stateOf(b), QpState.RTS);
      return bench;
    },
  ),
];

const deviceReset = [
  probe(
    {
      id: 'RST/device/silence',
      doc: 'A reset with traffic under way ends all access to memory, all interrupts and all packets at once.',
      requirements: ['RST-31', 'RST-32', 'RST-33', 'FEAT-29', 'RST-30'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        for (let i = 0; i < 4; i++) {
          const { address, lkey } = to.region;
          to.machine.postRecv(to.qpn, i, [{ addr: address, length: 4096, lkey }]);
          from.machine.postSend(from.qpn, {
            wrId: i,
            sges: [{ addr: from.region.address, length: 4096, lkey: from.region.lkey }],
          });
        }
      }
      for (let steps = 0; bench.packets < 4 && steps < 1000; steps++) bench.scheduler.step();
      const { machine } = a;
      machine.device.writeStatus(0);
      bench.same(['FEAT-28'], 'the status', machine.status, 0);
      const before = machine.memory.bytes.slice();
      const counts = [machine.memory.reads, machine.memory.writes, machine.transport.queueInterrupts];
      bench.run();
      for (let index = 0; index < machine.queues.count; index++) machine.transport.notify(index);
      bench.run();
      bench.same(
        ['RST-32', 'FEAT-29', 'RST-31'],
        'readings, writings and interrupts after the reset',
        [machine.memory.reads, machine.memory.writes, machine.transport.queueInterrupts],
        counts,
      );
      bench.same(['RST-32'], 'guest memory is as it was', Buffer.compare(before, machine.memory.bytes), 0);
      bench.same(['ISO-15'], 'a command of the other machine', b.machine.must(createPd) !== undefined, true);
      return bench;
    },
  ),
  probe(
    {
      id: 'RST/device/nothing-left',
      doc: 'After a reset no object, number, key or GID of before exists, and packets for them are dropped.',
      requirements: ['RST-30', 'RST-34', 'RST-36', 'MEM-13', 'CTRL-109'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      exchange(scene, ['RST-30']);
      const old = b.region;
      b.machine.start();
      a.machine.postSend(a.qpn, {
        wrId: 1,
        opcode: WrOpcode.RDMA_WRITE,
        inline: new Uint8Array(8).fill(3),
        rdma: { remote_addr: old.address, rkey: old.rkey },
      });
      bench.run();
      bench.same(['RST-34'], 'the completion of a write to a machine that was reset', statusesOf(a), [
        [1, status.RETRY_EXC_ERR],
      ]);
      bench.same(
        ['RST-30'],
        'DEREG_MR of a region of before',
        b.machine.ask(deregMr, { mrn: old.mrn }),
        undefined,
      );
      bench.same(
        ['RST-30'],
        'DESTROY_QP of a queue pair of before',
        b.machine.ask(destroyQp, { qpn: b.qpn }),
        undefined,
      );
      bench.same(['RST-30'], 'DEL_GID of an entry of before', b.machine.ask(delGid, { index: 0 }), undefined);
      const again = furnish(b.machine);
      bench.same(['RST-36'], 'numbers after the reset', [again.cqn, again.qpn], [b.cqn, b.qpn]);
      return bench;
    },
  ),
  probe(
    {
      id: 'MEM/reset/keys-open-nothing',
      doc: 'A key of before a reset opens nothing, though the same region is registered again.',
      requirements: ['MEM-13'],
    },
    context => {
      const scene = pairOf(context, { type: QpType.RC });
      const { a, b, bench } = scene;
      const old = b.region.rkey;
      b.machine.start();
      const again = furnish(b.machine);
      bringTo(bench, a, a, QpState.RESET);
      connect(a, again);
      connect(again, a);
      if (again.region.rkey === old)
        bench.accuse(['MEM-13'], `the region of after the reset has the key ${old} of before`);
      a.machine.postSend(a.qpn, {
        wrId: 1,
        opcode: WrOpcode.RDMA_WRITE,
        inline: new Uint8Array(8),
        rdma: { remote_addr: again.region.address, rkey: old },
      });
      bench.run();
      bench.same(['MEM-13'], 'the completion of a write with the key of before', statusesOf(a), [
        [1, status.REM_ACCESS_ERR],
      ]);
      return bench;
    },
  ),
];

const isolation = [
  probe(
    {
      id: 'ISO/numbers/independent',
      doc: 'The numbers that a machine gets do not depend on what another machine has.',
      requirements: ['ISO-02'],
    },
    context => {
      const numbers = (withOthers: boolean): number[] => {
        const bench = new Bench(context);
        if (withOthers) {
          const side = furnish(bench.neighbour);
          for (let i = 0; i < 3; i++)
            side.machine.must(createAh, { pdn: side.pdn, ah_attr: addressVector(side.gid) });
        }
        const { pdn, otherPdn, cqn, qpn, region } = furnish(bench.me);
        return [pdn, otherPdn, cqn, qpn, region.mrn, region.lkey, region.rkey];
      };
      const bench = new Bench(context);
      bench.same(
        ['ISO-02'],
        'numbers and keys beside another machine and alone',
        numbers(true),
        numbers(false),
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/packets/uninvited',
      doc: 'A queue pair that connects to one that is connected elsewhere is not heard, and changes nothing there.',
      requirements: ['ISO-12', 'ISO-11'],
    },
    context => {
      const bench = new Bench(context, { machines: 3 });
      const [a, b, c] = bench.machines.map(machine => furnish(machine));
      connect(a, b);
      connect(b, a);
      connect(c, b);
      b.machine.postRecv(b.qpn, 7, [{ addr: b.region.address, length: 64, lkey: b.region.lkey }]);
      c.machine.postSend(c.qpn, { wrId: 1, inline: new Uint8Array(8).fill(1) });
      bench.run();
      bench.same(
        ['ISO-12'],
        'what became of the uninvited send',
        [statusesOf(c), statusesOf(b)],
        [[[1, status.RETRY_EXC_ERR]], []],
      );
      a.machine.postSend(a.qpn, { wrId: 2, inline: new Uint8Array(8).fill(2) });
      bench.run();
      bench.same(
        ['ISO-12', 'ISO-11'],
        'the send of the invited peer',
        [statusesOf(a), statusesOf(b)],
        [[[2, 0]], [[7, 0]]],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/packets/wrong-q-key',
      doc: 'A datagram whose Q_Key is not that of its queue pair is dropped, and uses no receive.',
      requirements: ['ISO-13', 'DATA-53'],
    },
    context => {
      const { a, b, bench } = pairOf(context, { type: QpType.UD });
      const ah = handleFor(a, b.gid);
      b.machine.postRecv(b.qpn, 7, [{ addr: b.region.address, length: 64, lkey: b.region.lkey }]);
      for (const remote_qkey of [QKEY ^ 1, QKEY ^ 0x4000_0000, QKEY]) {
        const before = statusesOf(b).length;
        a.machine.postSend(a.qpn, {
          wrId: remote_qkey,
          inline: new Uint8Array(4),
          ud: { remote_qpn: b.qpn, remote_qkey, ah },
        });
        bench.run();
        const got = statusesOf(b).length;
        bench.same(
          ['ISO-13'],
          `receives for Q_Key 0x${remote_qkey.toString(16)}`,
          [before, got],
          [0, remote_qkey === QKEY ? 1 : 0],
        );
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'ISO/turns/queue-that-is-never-empty',
      doc: 'A driver that refills a queue as fast as it is emptied stops neither its own other queues nor its neighbour.',
      requirements: ['ISO-18', 'PERF-20', 'HOST-01'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      const { machine } = a;
      const qpn = queuePairIn(bench, a, QpType.RC, QpState.ERR);
      const index = machine.queues.rq(qpn);
      const ring = machine.ring(index);
      const part = { address: machine.alloc(24), length: 24 };
      const refill = (): void => {
        ring.harvest();
        while (ring.freeDescriptors > 0) ring.add([part]);
        ring.publish();
      };
      refill();
      machine.transport.notify(index);
      const pending = machine.prepare(
        createPd.code,
        new Uint8Array(0),
        { writable: 5 },
        'CREATE_PD beside a queue that is never empty',
      );
      machine.publish(machine.queues.control);
      const other = scene.b.machine.prepare(
        createPd.code,
        new Uint8Array(0),
        { writable: 5 },
        'CREATE_PD of the neighbour',
      );
      scene.b.machine.publish(scene.b.machine.queues.control);
      for (let steps = 0; steps < 400; steps++) {
        bench.scheduler.step();
        refill();
        machine.transport.notify(index);
      }
      const answered = [
        machine.returned(machine.queues.control),
        scene.b.machine.returned(scene.b.machine.queues.control),
      ];
      bench.same(
        ['ISO-18'],
        'heads answered on both control queues',
        answered.map(list => list.map(({ id }) => id)),
        [[pending.chain.head], [other.chain.head]],
      );
      return bench;
    },
  ),
];

export const endingCases = [...underLoad, ...queuePairs, ...keys, ...limits, ...deviceReset, ...isolation];

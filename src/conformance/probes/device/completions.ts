/** Sections 8.2 and 8.3 asked of a device: buffers, what a completion holds, and the end of a completion queue. */
import { QpState, QpType, WrOpcode, cqReq } from '../../../abi/index.js';
import { Used } from '../../../virtio/index.js';
import { createCq, createQp, destroyCq, destroyQp, gidOf, sendRequest } from './messages.js';
import { UNWRITTEN } from './answers.js';
import { status } from './outcomes.js';
import { probe } from './probe-case.js';
import { queuePairIn } from './queue-pair-states.js';
import { QKEY, connect, handleFor, lonely, pairOf, qpFields } from './site.js';
import type { Side } from './site.js';
import { flush, range, toErr, wrIds } from './flushed.js';
import { message } from './events.js';

const buffers = [
  probe(
    {
      id: 'CQ/buffer/longer-than-needed',
      doc: 'A completion takes the first 48 writable bytes of its buffer, however long and however cut, with used length 48.',
      requirements: ['CQ-12', 'CQ-11', 'VQ-13', 'HOST-05'],
    },
    context => {
      const { a, bench } = lonely(context, { buffers: 0 });
      const { machine } = a;
      const ring = machine.ring(machine.queues.cq(a.cqn));
      const at = machine.place(new Uint8Array(128).fill(UNWRITTEN));
      const cuts = [0, 1, 9, 40, 47, 100];
      ring.add(
        cuts.slice(1).map((to, i) => ({ address: at + cuts[i], length: to - cuts[i], writable: true })),
      );
      machine.publish(ring.index);
      bench.run();
      bench.same(['CQ-11'], 'buffers used while there is nothing to say', ring.usedIdx, 0);
      toErr(a);
      flush(a, 1, 77);
      bench.run();
      const [element] = ring.harvest();
      bench.same(['CQ-12'], 'used length', element?.length, cqReq.size);
      const bytes = machine.memory.copy(at, 128);
      bench.same(['CQ-12', 'VQ-13'], 'wr_id and status', [bytes[0], bytes[8]], [77, status.WR_FLUSH_ERR]);
      bench.same(
        ['CQ-12'],
        'bytes behind the completion',
        [...bytes.subarray(48)],
        range(80).map(() => UNWRITTEN),
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/buffer/too-short',
      doc: 'The device asks for a reset when it is to put a completion into a buffer of 47 bytes.',
      requirements: ['CQ-13', 'FEAT-32'],
    },
    context => {
      const { a, bench } = lonely(context, { buffers: 0 });
      a.machine.addBuffers(a.cqn, 1, 47);
      toErr(a);
      flush(a, 1);
      bench.run();
      bench.same(['CQ-13'], 'DEVICE_NEEDS_RESET', a.machine.needsReset, true);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/buffer/available-before-its-queue',
      doc: 'Buffers made available before CREATE_CQ are used by the queue that is created.',
      requirements: ['CTRL-24'],
    },
    context => {
      const { a, bench } = lonely(context, { buffers: 0 });
      a.machine.must(destroyQp, { qpn: a.qpn });
      a.machine.must(destroyCq, { cqn: a.cqn });
      a.machine.addBuffers(0, 4);
      const again = lonelyAgain(a);
      toErr(again);
      flush(again, 3, 5);
      bench.run();
      bench.same(['CTRL-24'], 'wr_ids of the completions', wrIds(again), range(3, 5));
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/destroy/returns-buffers',
      doc: 'DESTROY_CQ returns every buffer with length 0 before its OK, and nothing is written to them afterwards.',
      requirements: ['RST-12', 'CQ-07', 'RST-13'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 8, buffers: 5 });
      const { machine } = a;
      machine.must(destroyQp, { qpn: a.qpn });
      const index = machine.queues.cq(a.cqn);
      machine.must(destroyCq, { cqn: a.cqn });
      const lengths = machine.returned(index).map(({ length }) => length);
      bench.same(['RST-12'], 'used lengths of the buffers', lengths, [0, 0, 0, 0, 0]);
      bench.same(['RST-14'], 'events', machine.interruptsOf(index), 0);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/destroy/held-completions-are-discarded',
      doc: 'Completions that wait for a buffer when their queue is destroyed do not reach the next queue of that number.',
      requirements: ['RST-13', 'CTRL-37'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 8, buffers: 0 });
      toErr(a);
      flush(a, 3, 5);
      bench.run();
      a.machine.must(destroyQp, { qpn: a.qpn });
      a.machine.must(destroyCq, { cqn: a.cqn });
      const again = lonelyAgain(a);
      a.machine.addBuffers(again.cqn, 4);
      bench.run();
      bench.same(['RST-13'], 'completions of the queue before', wrIds(again), []);
      return bench;
    },
  ),
];

/** A new completion queue and queue pair in place of those that are gone, connected with nobody. */
function lonelyAgain({ machine, pdn, ...rest }: Side): Side {
  const { cqn } = machine.must(createCq, { cqe: 4 });
  const { qpn } = machine.must(createQp, qpFields({ pdn, cqn }));
  const side = { ...rest, machine, pdn, cqn, qpn };
  connect(side, { gid: gidOf(77), qpn: 2 });
  return side;
}

const contents = [
  probe(
    {
      id: 'CQ/contents/wr-id',
      doc: 'A wr_id of any 64 bits comes back as it was, of sends and of receives.',
      requirements: ['CQ-18'],
    },
    context => {
      const { a, bench } = lonely(context, { type: QpType.UC });
      for (const wrId of [
        0n,
        1n,
        2n ** 53n - 1n,
        2n ** 53n + 1n,
        2n ** 63n,
        2n ** 64n - 1n,
        0x0102_0304_0506_0708n,
      ]) {
        const bytes = sendRequest();
        new DataView(bytes.buffer).setBigUint64(0, wrId, true);
        a.machine.postSend(a.qpn, bytes);
        bench.run();
        const [completion] = a.machine.poll(a.cqn);
        const got = new DataView(completion?.bytes.slice().buffer ?? new ArrayBuffer(8)).getBigUint64(
          0,
          true,
        );
        bench.same(['CQ-18'], 'wr_id', got.toString(16), wrId.toString(16));
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/contents/error-holds-nothing-else',
      doc: 'A completion with an error holds zero wherever it is not valid, and in padding and reserved bytes.',
      requirements: ['CQ-26', 'OVR-05', 'CQ-19'],
    },
    context => {
      const { a, bench } = lonely(context);
      flush(a, 1, 3);
      toErr(a);
      bench.run();
      const [completion] = a.machine.poll(a.cqn);
      const { bytes, qp_num } = completion ?? { bytes: new Uint8Array(48).fill(1), qp_num: -1 };
      const voided = [...bytes.subarray(9, 12), ...bytes.subarray(16, 24), ...bytes.subarray(28, 48)];
      bench.same(
        ['CQ-26', 'OVR-05'],
        'bytes that are not valid, other than zero',
        voided.filter(byte => byte !== 0),
        [],
      );
      bench.same(['CQ-19'], 'qp_num', qp_num, a.qpn);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/contents/datagram-with-immediate',
      doc: 'A received datagram tells who sent it, how long it is with its 40 bytes, that they are there, and its immediate data byte by byte.',
      requirements: ['CQ-22', 'CQ-23', 'CQ-24', 'CQ-25', 'CQ-21', 'DATA-09', 'DATA-48', 'OVR-01'],
    },
    context => {
      const { a, b, bench } = pairOf(context, { type: QpType.UD });
      b.machine.postRecv(b.qpn, 9, [{ addr: b.region.address, length: 100, lkey: b.region.lkey }]);
      const ud = { remote_qpn: b.qpn, remote_qkey: QKEY, ah: handleFor(a, b.gid) };
      a.machine.postSend(a.qpn, {
        opcode: WrOpcode.SEND_WITH_IMM,
        imm: 0x0102_0304,
        inline: Uint8Array.of(7, 8, 9),
        ud,
      });
      bench.run();
      const [got] = b.machine.poll(b.cqn);
      const seen = [
        got?.status,
        got?.opcode,
        got?.byte_len,
        got?.src_qp,
        got?.wc_flags,
        ...(got?.bytes.subarray(20, 24) ?? []),
      ];
      bench.same(
        ['CQ-22', 'CQ-23', 'CQ-24', 'CQ-25'],
        'status, opcode, byte_len, src_qp, wc_flags and imm_data',
        seen,
        [0, 3, 43, a.qpn, 3, 1, 2, 3, 4],
      );
      bench.same(
        ['DATA-48', 'OVR-01'],
        'the GIDs among the 40 bytes',
        [...b.machine.memory.copy(b.region.address + 8, 32)],
        [...a.gid, ...b.gid],
      );
      bench.same(
        ['DATA-48'],
        'the message behind them',
        [...b.machine.memory.copy(b.region.address + 40, 3)],
        [7, 8, 9],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/contents/sender-of-a-datagram',
      doc: 'src_qp of a received datagram is the number of the queue pair that sent it, where that differs from the number of the receiver.',
      requirements: ['CQ-25'],
    },
    context => {
      const { a, b, bench } = pairOf(context, { type: QpType.UD });
      const ud = { remote_qpn: b.qpn, remote_qkey: QKEY, ah: handleFor(a, b.gid) };
      const senders = [1, 2].map(() => queuePairIn(bench, a, QpType.UD, QpState.RTS));
      for (const [i, sender] of senders.entries()) {
        b.machine.postRecv(b.qpn, i, [{ addr: b.region.address, length: 64, lkey: b.region.lkey }]);
        a.machine.postSend(sender, { inline: Uint8Array.of(1), ud });
        bench.run();
      }
      const seen = b.machine.poll(b.cqn).map(({ qp_num, src_qp }) => [qp_num, src_qp]);
      const expected = senders.map(sender => [b.qpn, sender]);
      bench.same(['CQ-25'], 'receiver and sender of each datagram', seen, expected);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/contents/unsignaled',
      doc: 'A send that succeeds and is not signaled gives no completion, and its chain comes back.',
      requirements: ['CQ-02', 'DATA-28'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      message(scene, { flags: 0 });
      bench.same(
        ['CQ-02'],
        'completions of an unsignaled send',
        a.machine.ring(a.machine.queues.cq(a.cqn)).usedIdx,
        0,
      );
      bench.same(
        ['DATA-28'],
        'chains that came back',
        a.machine.returned(a.machine.queues.sq(a.qpn)).length,
        1,
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'ORD/completion/element-before-index',
      doc: 'A completion and the return of its request can be seen before the used index that covers the completion.',
      requirements: ['VQ-36', 'ORD-15', 'ORD-07'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const { memory, queues } = b.machine;
      const { device } = b.machine.ring(queues.cq(b.cqn)).addresses;
      const found: unknown[] = [];
      memory.watch = {
        write: (address, length) => {
          if (!(address <= device + Used.IDX && device + Used.IDX < address + length)) return;
          const at = memory.at(device) + Used.RING;
          const head = memory.view.getUint32(at, true);
          const chain = b.machine.ring(queues.cq(b.cqn)).outstanding.get(head);
          const buffer = memory.at(chain?.parts[0].address ?? b.region.address);
          found.push(
            memory.view.getUint32(at + Used.LEN, true),
            memory.bytes[buffer],
            b.machine.ring(queues.rq(b.qpn)).usedIdx,
            memory.bytes[memory.at(b.region.address)],
          );
        },
      };
      b.machine.postRecv(b.qpn, 0x55, [{ addr: b.region.address, length: 4, lkey: b.region.lkey }]);
      a.machine.postSend(a.qpn, { wrId: 1, inline: Uint8Array.of(0x66) });
      bench.run();
      memory.watch = undefined;
      bench.same(
        ['VQ-36', 'ORD-15', 'ORD-07'],
        'used length, wr_id, receives back and payload when the completion was published',
        found,
        [48, 0x55, 1, 0x66],
      );
      return bench;
    },
  ),
];

export const completionCases = [...buffers, ...contents];

/** Chapter 8 asked of a device: arming and events, buffers, capacity, contents, and the end of a completion queue. */
import { NotifyFlag, QpState, QpType, SendFlag, WrOpcode, cqReq } from '../../../abi/index.js';
import { Used } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import {
  createCq,
  createQp,
  destroyCq,
  destroyQp,
  gidOf,
  modifyQp,
  reqNotifyCq,
  sendRequest,
} from './messages.js';
import type { SendFields } from './messages.js';
import { UNWRITTEN } from './machine.js';
import { status, stateOf } from './outcomes.js';
import { probe } from './probe-case.js';
import type { ProbeText } from './probe-case.js';
import { QKEY, connect, handleFor, lonely, pairOf, qpFields } from './site.js';
import type { Pair, Side, SideOptions } from './site.js';
import type { BenchOptions } from './bench.js';

const { SOLICITED, NEXT_COMPLETION } = NotifyFlag;

const eventsOf = ({ machine, cqn }: Side): number => machine.interruptsOf(machine.queues.cq(cqn));
const arm = ({ machine, cqn }: Side, flags: number): void => {
  machine.must(reqNotifyCq, { cqn, flags }, ['CTRL-42']);
};
/** One message from a to b; gives the events that it raised at b. */
function message(scene: Pair, fields: SendFields = {}, keep = false): number {
  const { a, b, bench } = scene;
  const before = eventsOf(b);
  b.machine.postRecv(b.qpn, 1, [{ addr: b.region.address, length: 64, lkey: b.region.lkey }]);
  a.machine.postSend(a.qpn, { wrId: 1, inline: Uint8Array.of(1), ...fields });
  bench.run();
  a.machine.poll(a.cqn);
  if (!keep) b.machine.poll(b.cqn);
  return eventsOf(b) - before;
}

type Options = SideOptions & BenchOptions & { readonly peer?: SideOptions };

function armed(
  text: ProbeText,
  expected: readonly number[],
  run: (scene: Pair) => readonly number[],
  options: Options = {},
): ConformanceCase {
  return probe(text, context => {
    const scene = pairOf(context, options);
    scene.bench.same(text.requirements, 'events, message by message', run(scene), expected);
    return scene.bench;
  });
}

const solicited = { flags: SendFlag.SIGNALED | SendFlag.SOLICITED };

const arming = [
  armed(
    {
      id: 'CQ/event/none-unless-armed',
      doc: 'A completion queue that was never armed raises no event.',
      requirements: ['CQ-09', 'CQ-35', 'CQ-44', 'PERF-05'],
    },
    [0, 0, 0],
    scene => [message(scene), message(scene, solicited), message(scene)],
  ),
  armed(
    {
      id: 'CQ/event/one-for-each-arming',
      doc: 'A queue armed for any completion raises one event with the next one, and none until it is armed again.',
      requirements: ['CQ-08', 'CQ-37', 'CQ-38', 'CQ-36', 'PERF-05'],
    },
    [1, 0, 0, 1, 0],
    scene => {
      arm(scene.b, NEXT_COMPLETION);
      const first = [message(scene), message(scene), message(scene)];
      arm(scene.b, NEXT_COMPLETION);
      return [...first, message(scene), message(scene)];
    },
  ),
  armed(
    {
      id: 'CQ/event/armed-twice',
      doc: 'A queue that is armed twice raises one event.',
      requirements: ['CQ-37', 'CQ-08'],
    },
    [1, 0],
    scene => {
      arm(scene.b, NEXT_COMPLETION);
      arm(scene.b, NEXT_COMPLETION);
      return [message(scene), message(scene)];
    },
  ),
  armed(
    {
      id: 'CQ/event/solicited-only',
      doc: 'A queue armed for solicited completions passes over others and raises the event on a solicited one.',
      requirements: ['CQ-39', 'CQ-41', 'CQ-37'],
    },
    [0, 0, 1, 0],
    scene => {
      arm(scene.b, SOLICITED);
      return [message(scene), message(scene), message(scene, solicited), message(scene, solicited)];
    },
  ),
  armed(
    {
      id: 'CQ/event/any-stays-any',
      doc: 'A queue armed for any completion stays so when it is armed again for solicited ones.',
      requirements: ['CQ-03'],
    },
    [1, 0],
    scene => {
      arm(scene.b, NEXT_COMPLETION);
      arm(scene.b, SOLICITED);
      return [message(scene), message(scene)];
    },
  ),
  armed(
    {
      id: 'CQ/event/solicited-becomes-any',
      doc: 'A queue armed for solicited completions and then for any raises the event on any.',
      requirements: ['CQ-38', 'CQ-36'],
    },
    [1, 0],
    scene => {
      arm(scene.b, SOLICITED);
      arm(scene.b, NEXT_COMPLETION);
      return [message(scene), message(scene)];
    },
  ),
  armed(
    {
      id: 'CQ/event/both-flags',
      doc: 'REQ_NOTIFY_CQ with both flags arms for any completion.',
      requirements: ['CTRL-42', 'CQ-38'],
    },
    [1, 0],
    scene => {
      arm(scene.b, SOLICITED | NEXT_COMPLETION);
      return [message(scene), message(scene)];
    },
  ),
  armed(
    {
      id: 'CQ/event/error-when-solicited',
      doc: 'A queue armed for solicited completions raises the event on an error.',
      requirements: ['CQ-40'],
    },
    [1],
    ({ a, bench }) => {
      arm(a, SOLICITED);
      a.machine.postSend(a.qpn, { opcode: 99 });
      bench.run();
      return [eventsOf(a)];
    },
  ),
  armed(
    {
      id: 'CQ/event/not-for-the-past',
      doc: 'A completion that was in the ring before the arming raises nothing; it is there when the OK is.',
      requirements: ['CTRL-43', 'CQ-36'],
    },
    [0, 0, 1],
    scene => {
      const before = message(scene, {}, true);
      arm(scene.b, NEXT_COMPLETION);
      const armedNow = eventsOf(scene.b) - before;
      scene.bench.same(
        ['CTRL-43'],
        'completions in the ring at the OK of REQ_NOTIFY_CQ',
        scene.b.machine.poll(scene.b.cqn).length,
        1,
      );
      return [before, armedNow, message(scene)];
    },
  ),
  armed(
    {
      id: 'CQ/event/held-completion',
      doc: 'A completion held back for want of a buffer raises the event when it is given to the driver.',
      requirements: ['CTRL-44', 'CQ-29', 'CQ-30'],
    },
    [0, 0, 1],
    scene => {
      const { b, bench } = scene;
      const first = message(scene);
      arm(b, NEXT_COMPLETION);
      const second = eventsOf(b);
      b.machine.addBuffers(b.cqn, 4);
      bench.run();
      return [first, second, eventsOf(b)];
    },
    { peer: { buffers: 0 } },
  ),
  ...[false, true].map(eventIdx =>
    armed(
      {
        id: `CQ/event/whatever-the-ring-says-${eventIdx ? 'event-idx' : 'flags'}`,
        doc: 'The event is raised whatever the suppression fields of the completion virtqueue say, and no other notification is.',
        requirements: ['CQ-42', 'CQ-09'],
        needs: eventIdx ? { features: ['event-idx'] } : {},
      },
      [0, 1, 0],
      scene => {
        const { b } = scene;
        const ring = b.machine.ring(b.machine.queues.cq(b.cqn));
        if (eventIdx) ring.setUsedEvent(0);
        else ring.setAvailFlags(0);
        const before = message(scene);
        if (eventIdx) ring.setUsedEvent(0x8000);
        else ring.setAvailFlags(1);
        arm(b, NEXT_COMPLETION);
        return [before, message(scene), message(scene)];
      },
      { eventIdx },
    ),
  ),
  probe(
    {
      id: 'CQ/event/behind-its-completion',
      doc: 'When the event arrives, the used index covers the completion.',
      requirements: ['CQ-43', 'ORD-15', 'ORD-07'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const index = b.machine.queues.cq(b.cqn);
      const found: number[] = [];
      b.machine.transport.onInterrupt(queue => {
        if (queue === index)
          found.push(b.machine.ring(index).usedIdx, b.machine.ring(b.machine.queues.rq(b.qpn)).usedIdx);
      });
      arm(b, NEXT_COMPLETION);
      b.machine.postRecv(b.qpn, 1);
      a.machine.postSend(a.qpn, { wrId: 1 });
      bench.run();
      bench.same(
        ['CQ-43', 'ORD-15'],
        'used indices of completion and receive queue at the event',
        found,
        [1, 1],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/event/ends-with-its-queue',
      doc: 'A new completion queue of a number that was armed is not armed, and a destroyed one raises nothing.',
      requirements: ['RST-14', 'CTRL-37', 'CQ-35'],
    },
    context => {
      const { a, bench } = pairOf(context);
      const { machine } = a;
      const { cqn } = machine.must(createCq, { cqe: 4 });
      machine.must(reqNotifyCq, { cqn, flags: NEXT_COMPLETION });
      machine.must(destroyCq, { cqn });
      bench.same(
        ['CTRL-19'],
        'the number of the next completion queue',
        machine.must(createCq, { cqe: 4 }).cqn,
        cqn,
      );
      machine.must(modifyQp, { qpn: a.qpn, attr_mask: 1, qp_state: QpState.ERR }, ['QP-32']);
      bench.run();
      bench.same(['RST-14'], 'events of that queue', machine.interruptsOf(machine.queues.cq(cqn)), 0);
      return bench;
    },
  ),
];

/** Requests that fail at once, so that each gives a completion without a peer. */
function flush({ machine, qpn }: Side, count: number, first = 0): void {
  for (let i = 0; i < count; i++) machine.postRecv(qpn, first + i);
}
const toErr = ({ machine, qpn }: Side): void => {
  machine.must(modifyQp, { qpn, attr_mask: 1, qp_state: QpState.ERR }, ['QP-32']);
};
const wrIds = ({ machine, cqn }: Side, keep = false): number[] =>
  machine.poll(cqn, keep).map(({ wr_id }) => wr_id);
const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

const capacity = [
  probe(
    {
      id: 'CQ/capacity/exactly-cqe',
      doc: 'A queue takes as many completions that are not polled as CREATE_CQ granted.',
      requirements: ['CQ-04', 'CQ-33', 'CQ-01'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 8 });
      toErr(a);
      flush(a, 8);
      bench.run();
      bench.same(['CQ-04'], 'wr_ids of the completions', wrIds(a), range(8));
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/overrun',
      doc: 'One completion more than the queue has entries is lost, and none is given after it; the requests come back all the same.',
      requirements: ['CQ-06', 'CQ-32', 'CQ-31', 'ORD-15', 'DATA-28'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 4 });
      toErr(a);
      flush(a, 6);
      bench.run();
      bench.same(['CQ-32', 'CQ-06'], 'wr_ids of the completions', wrIds(a), range(4));
      const { machine } = a;
      bench.same(['ORD-15'], 'receives that came back', machine.returned(machine.queues.rq(a.qpn)).length, 6);
      flush(a, 2, 6);
      bench.run();
      bench.same(['CQ-06'], 'wr_ids after the overrun', wrIds(a), []);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/overrun-moves-queue-pairs',
      doc: 'An overrun moves the queue pairs of the queue to ERR; it can be armed and destroyed with them.',
      requirements: ['QP-52', 'CQ-34'],
    },
    context => {
      const scene = pairOf(context, { cqe: 2 });
      const { a, b, bench } = scene;
      for (let i = 0; i < 3; i++) {
        a.machine.postRecv(a.qpn, i);
        b.machine.postSend(b.qpn, { wrId: i, flags: 0 });
      }
      bench.run();
      bench.same(['QP-52'], 'the state of the queue pair', stateOf(a), QpState.ERR);
      a.machine.must(reqNotifyCq, { cqn: a.cqn, flags: NEXT_COMPLETION }, ['CQ-34']);
      a.machine.must(destroyQp, { qpn: a.qpn }, ['QP-10']);
      a.machine.must(destroyCq, { cqn: a.cqn }, ['CQ-34']);
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/held-back',
      doc: 'Completions without a buffer are held, and given in their order as buffers come, one by one.',
      requirements: ['CQ-28', 'CQ-29', 'CQ-30', 'CQ-33'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 8, buffers: 0 });
      toErr(a);
      flush(a, 8);
      bench.run();
      const seen: number[] = [];
      for (let i = 0; i < 8; i++) {
        a.machine.addBuffers(a.cqn, 1);
        bench.run();
        seen.push(...wrIds(a, true));
      }
      bench.same(['CQ-28', 'CQ-29', 'CQ-30'], 'wr_ids in the order of the buffers', seen, range(8));
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/few-buffers',
      doc: 'With B buffers for cqe entries the device holds cqe - B completions and loses the one after.',
      requirements: ['CQ-28', 'CQ-06', 'CQ-31'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 6, buffers: 2 });
      toErr(a);
      flush(a, 8);
      bench.run();
      const first = wrIds(a, true);
      a.machine.addBuffers(a.cqn, 8);
      bench.run();
      bench.same(
        ['CQ-28', 'CQ-06'],
        'wr_ids at once and after more buffers',
        [first, wrIds(a, true)],
        [range(2), range(4, 2)],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'CQ/capacity/given-back',
      doc: 'A buffer made available in place of a polled one makes room again, round and round the ring.',
      requirements: ['CQ-31', 'CQ-33', 'CQ-01'],
    },
    context => {
      const { a, bench } = lonely(context, { cqe: 3 });
      toErr(a);
      for (let round = 0; round < 30; round++) {
        flush(a, 3, 3 * round);
        bench.run();
        bench.same(['CQ-31', 'CQ-33'], `wr_ids of round ${round}`, wrIds(a), range(3, 3 * round));
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'HOST/completions/no-buffer-any-more',
      doc: 'A driver that makes no completion buffer available any more stops neither its other queues nor its neighbour.',
      requirements: ['HOST-09', 'ISO-17'],
    },
    context => {
      const scene = pairOf(context, { cqe: 4, buffers: 1 });
      const { a, b, bench } = scene;
      for (let i = 0; i < 4; i++) {
        a.machine.postRecv(a.qpn, i);
        b.machine.postSend(b.qpn, { wrId: i, flags: 0 });
      }
      bench.run();
      bench.same(['HOST-09'], 'the state of the queue pair without buffers', stateOf(a), QpState.RTS);
      bench.same(['ISO-17'], 'the state of its peer', stateOf(b), QpState.RTS);
      return bench;
    },
  ),
];

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

export const completionCases = [...arming, ...capacity, ...buffers, ...contents];

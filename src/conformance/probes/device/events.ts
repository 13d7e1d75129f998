/** Section 8.5 asked of a device: which completion raises the event of an armed queue, once, and which does not. */
import { NotifyFlag, QpState, SendFlag } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { createCq, destroyCq, modifyQp, reqNotifyCq } from './messages.js';
import type { SendFields } from './messages.js';
import { probe } from './probe-case.js';
import type { ProbeText } from './probe-case.js';
import { pairOf } from './site.js';
import type { Pair, Side, SideOptions } from './site.js';
import type { BenchOptions } from './bench.js';

const { SOLICITED, NEXT_COMPLETION } = NotifyFlag;

const eventsOf = ({ machine, cqn }: Side): number => machine.interruptsOf(machine.queues.cq(cqn));
const arm = ({ machine, cqn }: Side, flags: number): void => {
  machine.must(reqNotifyCq, { cqn, flags }, ['CTRL-42']);
};
/** One message from a to b; gives the events that it raised at b. */
export function message(scene: Pair, fields: SendFields = {}, keep = false): number {
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

export const eventCases = arming;

/** Chapters 4 and 14: used elements that no honest device writes, on the control queue and on a send queue. */
import { Command } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { describe, errnoOf } from './call.js';
import { expectAllEio, expectFailed } from './given-up.js';
import { aSend, makeObjects } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import type { RingPen } from './pen.js';
import { post, takeRequests, throws } from './traffic.js';

/** A used element that was never due, on any queue: what it is, the sentence, and the one of packed rings if they have it. */
interface Lie {
  readonly slug: string;
  readonly doc: string;
  readonly split?: string;
  readonly packed?: string;
  readonly tell: (bench: Bench, objects: Objects) => Promise<void>;
}

const lies: readonly Lie[] = [
  {
    slug: 'control-unknown-id',
    doc: 'A used id that names no chain on the control queue',
    split: 'VQ-42',
    packed: 'VQ-96',
    tell: async bench => {
      const call = bench.call('createPd()', verbs => verbs.createPd());
      await bench.expectCommand(Command.CREATE_PD);
      bench.device.pen(bench.map.control).element(99, 1);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-42', 'ERR-25']);
    },
  },
  {
    slug: 'control-id-beyond-16-bits',
    doc: 'A used id with bits above the sixteenth, whose low half is the head of a chain',
    split: 'VQ-42',
    tell: async bench => {
      const call = bench.call('delGid()', verbs => verbs.delGid(0));
      const { chain } = await bench.expectCommand(Command.DEL_GID);
      const ring = bench.device.pen(bench.map.control);
      ring.write(chain, 0, Uint8Array.of(0));
      ring.element(chain.head + 0x1_0000, 1);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-42', 'ERR-25']);
    },
  },
  {
    slug: 'control-twice',
    doc: 'A command comes back twice',
    split: 'VQ-42',
    packed: 'VQ-96',
    tell: async bench => {
      const [first, second] = [0, 1].map(i => bench.call(`delGid(${i})`, verbs => verbs.delGid(i)));
      const { chain } = await bench.expectCommand(Command.DEL_GID);
      const ring = bench.device.pen(bench.map.control);
      ring.write(chain, 0, Uint8Array.of(0));
      bench.pending.length = 0;
      ring.element(chain.head, 1);
      ring.element(chain.head, 1);
      bench.interrupt(bench.map.control);
      await bench.run();
      bench.expect(first.state !== 'pending', 'the verb whose answer came is still pending');
      bench.expect(
        second.state === 'rejected' && errnoOf(second.error) === 'EIO',
        `${second.what} ${describe(second)}, expected EIO`,
        ['ERR-25'],
      );
    },
  },
  {
    slug: 'control-nothing-outstanding',
    doc: 'A used element on the control queue while no command is outstanding',
    split: 'VQ-44',
    packed: 'VQ-96',
    tell: async bench => {
      bench.device.pen(bench.map.control).element(0, 1);
      bench.interrupt(bench.map.control);
      await bench.run();
    },
  },
  {
    slug: 'control-index-jump',
    doc: 'The used index of the control queue jumps by more than there are chains',
    split: 'VQ-44',
    tell: async bench => {
      const call = bench.call('createPd()', verbs => verbs.createPd());
      await bench.expectCommand(Command.CREATE_PD);
      bench.device.pen(bench.map.control).raise(3000);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-44', 'ERR-25']);
    },
  },
  {
    slug: 'control-index-back',
    doc: 'The used index of the control queue goes back by one',
    split: 'VQ-44',
    tell: async bench => {
      bench.device.pen(bench.map.control).raise(-1);
      const call = bench.call('createPd()', verbs => verbs.createPd());
      await bench.run();
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-44', 'ERR-25']);
    },
  },
  {
    slug: 'send-unknown-id',
    doc: 'A used id that names no chain on a send queue',
    split: 'VQ-42',
    packed: 'VQ-96',
    tell: async (bench, o) => fullQueueFinds(bench, o, ring => ring.element(0xffff_ffff, 0)),
  },
  {
    slug: 'send-index-jump',
    doc: 'The used index of a send queue jumps by more than there are chains',
    split: 'VQ-44',
    tell: async (bench, o) => fullQueueFinds(bench, o, ring => ring.raise(200)),
  },
  {
    slug: 'send-length',
    doc: 'A send comes back with a used length, although nothing of it is writable',
    split: 'VQ-43',
    packed: 'VQ-96',
    tell: async (bench, o) => fullQueueFinds(bench, o, (ring, heads) => ring.element(heads[0], 1)),
  },
  {
    slug: 'send-out-of-order',
    doc: 'Sends come back in another order than that of their posts',
    split: 'HOST-25',
    packed: 'HOST-25',
    tell: async (bench, o) => fullQueueFinds(bench, o, (ring, heads) => ring.element(heads[1], 0)),
  },
  {
    slug: 'control-id-beyond-the-size',
    doc: 'A used id that is the id of a command and the size of the control queue added up',
    packed: 'VQ-96',
    tell: async bench => {
      const call = bench.call('delGid()', verbs => verbs.delGid(0));
      const { chain } = await bench.expectCommand(Command.DEL_GID);
      const ring = bench.device.pen(bench.map.control);
      ring.write(chain, 0, Uint8Array.of(0));
      ring.element(chain.head + ring.size, 1);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-96', 'ERR-25']);
    },
  },
  {
    slug: 'control-length',
    doc: 'A command comes back with one byte more than was writable',
    split: 'VQ-43',
    packed: 'VQ-96',
    tell: async bench => {
      const call = bench.call('createPd()', verbs => verbs.createPd());
      const { chain } = await bench.expectCommand(Command.CREATE_PD);
      bench.device.pen(bench.map.control).element(chain.head, chain.writableBytes + 1);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['ERR-25']);
    },
  },
];

/** Fills the send queue, has the device lie, and posts once more: the driver looks for a slot and finds the lie. */
async function fullQueueFinds(
  bench: Bench,
  { qp, qpn }: Objects,
  forge: (ring: RingPen, heads: readonly number[]) => void,
): Promise<void> {
  for (let i = 0; i < 4; i++) post(bench, qp, aSend(i));
  const heads = takeRequests(bench, bench.map.sq(qpn)).map(({ chain }) => chain.head);
  forge(bench.device.pen(bench.map.sq(qpn)), heads);
  throws(bench, 'a post that looks for a slot', 'EIO', () => bench.verbs.postSend(qp, aSend(9)), [
    'HOST-29',
    'ERR-26',
  ]);
}

function lieCase({ slug, doc, tell }: Lie, requirement: string, packed: boolean): ConformanceCase {
  return probeStarted({
    id: `HOST/${packed ? 'packed-used' : 'used'}/${slug}`,
    doc: `${doc}${packed ? ', in a packed ring' : ''}: the device is given up, and no element is taken from the queue any more.`,
    requirements: [requirement, 'VQ-45', 'HOST-28', 'HOST-35'],
    ...(packed ? { options: { packed }, needs: { features: ['packed'] } } : {}),
    ask: async bench => {
      const objects = await makeObjects(bench);
      await tell(bench, objects);
      expectFailed(bench);
      await expectAllEio(bench, { ...objects, mr: { kind: 'mr', lkey: 1, rkey: 0 }, ah: { kind: 'ah' } });
    },
  });
}

export const brokenRingCases: readonly ConformanceCase[] = [
  ...lies.flatMap(lie => (lie.split === undefined ? [] : lieCase(lie, lie.split, false))),
  ...lies.flatMap(lie => (lie.packed === undefined ? [] : lieCase(lie, lie.packed, true))),
];

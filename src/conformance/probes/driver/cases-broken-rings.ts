/** Chapters 4 and 14: used elements that no honest device writes, on the control queue and on a send queue. */
import { Command } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { describe, errnoOf } from './call.js';
import { expectAllEio, expectFailed } from './given-up.js';
import { aSend, makeObjects } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import type { ProbeRing } from './ring.js';
import { post, takeRequests, throws } from './traffic.js';

/** A used element that was never due, on any queue. */
const rings: readonly (readonly [
  string,
  string,
  string,
  (bench: Bench, objects: Objects) => Promise<void>,
])[] = [
  [
    'control-unknown-id',
    'A used id that is no head of a chain on the control queue',
    'VQ-42',
    async bench => {
      const call = bench.call('createPd()', verbs => verbs.createPd());
      await bench.expectCommand(Command.CREATE_PD);
      bench.device.ring(bench.map.control).element(99, 1);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-42', 'ERR-25']);
    },
  ],
  [
    'control-id-beyond-16-bits',
    'A used id with bits above the sixteenth, whose low half is the head of a chain',
    'VQ-42',
    async bench => {
      const call = bench.call('delGid()', verbs => verbs.delGid(0));
      const { chain } = await bench.expectCommand(Command.DEL_GID);
      const ring = bench.device.ring(bench.map.control);
      ring.write(chain, 0, Uint8Array.of(0));
      ring.element(chain.head + 0x1_0000, 1);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-42', 'ERR-25']);
    },
  ],
  [
    'control-twice',
    'A command comes back twice',
    'VQ-42',
    async bench => {
      const [first, second] = [0, 1].map(i => bench.call(`delGid(${i})`, verbs => verbs.delGid(i)));
      const { chain } = await bench.expectCommand(Command.DEL_GID);
      const ring = bench.device.ring(bench.map.control);
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
  ],
  [
    'control-nothing-outstanding',
    'A used element on the control queue while no command is outstanding',
    'VQ-44',
    async bench => {
      bench.device.ring(bench.map.control).element(0, 1);
      bench.interrupt(bench.map.control);
      await bench.run();
    },
  ],
  [
    'control-index-jump',
    'The used index of the control queue jumps by more than there are chains',
    'VQ-44',
    async bench => {
      const call = bench.call('createPd()', verbs => verbs.createPd());
      await bench.expectCommand(Command.CREATE_PD);
      bench.device.ring(bench.map.control).raise(3000);
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-44', 'ERR-25']);
    },
  ],
  [
    'control-index-back',
    'The used index of the control queue goes back by one',
    'VQ-44',
    async bench => {
      bench.device.ring(bench.map.control).raise(-1);
      const call = bench.call('createPd()', verbs => verbs.createPd());
      await bench.run();
      bench.interrupt(bench.map.control);
      await bench.fails(call, 'EIO', ['VQ-44', 'ERR-25']);
    },
  ],
  [
    'send-unknown-id',
    'A used id that is no head of a chain on a send queue',
    'VQ-42',
    async (bench, o) => fullQueueFinds(bench, o, ring => ring.element(0xffff_ffff, 0)),
  ],
  [
    'send-index-jump',
    'The used index of a send queue jumps by more than there are chains',
    'VQ-44',
    async (bench, o) => fullQueueFinds(bench, o, ring => ring.raise(200)),
  ],
  [
    'send-length',
    'A send comes back with a used length, although nothing of it is writable',
    'VQ-43',
    async (bench, o) => fullQueueFinds(bench, o, (ring, heads) => ring.element(heads[0], 1)),
  ],
  [
    'send-out-of-order',
    'Sends come back in another order than that of their posts',
    'HOST-25',
    async (bench, o) => fullQueueFinds(bench, o, (ring, heads) => ring.element(heads[1], 0)),
  ],
];

/** Fills the send queue, has the device lie, and posts once more: the driver looks for a slot and finds the lie. */
async function fullQueueFinds(
  bench: Bench,
  { qp, qpn }: Objects,
  forge: (ring: ProbeRing, heads: readonly number[]) => void,
): Promise<void> {
  for (let i = 0; i < 4; i++) post(bench, qp, aSend(i));
  const heads = takeRequests(bench, bench.map.sq(qpn)).map(({ chain }) => chain.head);
  forge(bench.device.ring(bench.map.sq(qpn)), heads);
  throws(bench, 'a post that looks for a slot', 'EIO', () => bench.verbs.postSend(qp, aSend(9)), [
    'HOST-29',
    'ERR-26',
  ]);
}

export const brokenRingCases: readonly ConformanceCase[] = rings.map(([what, doc, requirement, run]) =>
  probeStarted({
    id: `HOST/used/${what}`,
    doc: `${doc}: the device is given up, and no element is taken from the queue any more.`,
    requirements: [requirement, 'VQ-45', 'HOST-28', 'HOST-35'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      await run(bench, objects);
      expectFailed(bench);
      await expectAllEio(bench, { ...objects, mr: { kind: 'mr', lkey: 1, rkey: 0 }, ah: { kind: 'ah' } });
    },
  }),
);

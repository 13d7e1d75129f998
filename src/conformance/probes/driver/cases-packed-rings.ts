/** Sections 4.10 to 4.14 asked of a driver: what it makes of used elements of a packed ring, whom it tells, how it starts. */
import { Command } from '../../../abi/index.js';
import { EventMode, PackedDescriptor, PackedEvent } from '../../../virtio/index.js';
import { CaseUnsupported } from '../../cases/case.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { expectSound } from './given-up.js';
import { aSend, makeObjects } from './objects.js';
import type { Objects } from './objects.js';
import type { PackedPen } from './packed-pen.js';
import { probe, probeStarted } from './probe-case.js';
import { giveBack, post, takeRequests } from './traffic.js';

const needs = { features: ['packed'] } as const;
const options = { packed: true } as const;

function controlOf(bench: Bench): PackedPen {
  return bench.device.packedRing(bench.map.control);
}

/** Four requests in the send queue, taken by the device. */
async function fourSends(bench: Bench): Promise<{ readonly objects: Objects; readonly ring: PackedPen }> {
  const objects = await makeObjects(bench);
  return { objects, ring: bench.device.packedRing(bench.map.sq(objects.qpn)) };
}

const elements: readonly ConformanceCase[] = [
  probeStarted({
    id: 'VQ/packed-used/length-without-write',
    doc: 'Sends come back with the lengths of their descriptors left behind and without WRITE: they count as length 0, and posting goes on.',
    requirements: ['VQ-95'],
    needs,
    options,
    ask: async bench => {
      const { objects, ring } = await fourSends(bench);
      for (let round = 0; round < 6; round++) {
        for (let i = 0; i < 4; i++) post(bench, objects.qp, aSend(4 * round + i), ['VQ-95']);
        for (const { chain } of takeRequests(bench, ring.index)) {
          ring.put(chain.head, chain.readable.length, ring.used.used);
          ring.outstanding.delete(chain.head);
          ring.used.go(chain.descriptors.length);
        }
      }
      expectSound(bench);
    },
  }),
  probeStarted({
    id: 'VQ/packed-used/marks-of-another-lap',
    doc: 'In every lap, a used element is not taken while its marks say anything but that it is used at the place where the driver is.',
    requirements: ['VQ-115', 'VQ-60'],
    needs,
    options: { packed: true, queueSize: 8 },
    ask: async bench => {
      const ring = controlOf(bench);
      for (let round = 0; round < 8; round++) {
        const call = bench.call('delGid()', verbs => verbs.delGid(0));
        const command = await bench.expectCommand(Command.DEL_GID);
        ring.write(command.chain, 0, Uint8Array.of(0));
        const { slot, available } = ring.used;
        // Another slot's flags are left alone: the descriptor that the driver wrote may stand here still.
        for (const marks of [available, 0x8080 & ~ring.used.used, available ^ 0x8080]) {
          if ((marks & 0x8080) === ring.used.used) continue;
          ring.put(command.chain.head, 1, marks | 2);
          bench.interrupt(ring.index);
          await bench.run();
          bench.expect(
            call.state === 'pending',
            `an element of slot ${slot} with the marks 0x${marks.toString(16)} was taken in lap ${Math.floor(round / 4)}`,
          );
        }
        bench.ok(command);
        await bench.value(call);
      }
      expectSound(bench);
    },
  }),
  probeStarted({
    id: 'VQ/packed-used/behind-its-place',
    doc: 'A used element is not taken while it shows in the slot behind the one where the driver is, however well it is marked there.',
    requirements: ['VQ-115', 'VQ-60'],
    needs,
    options: { packed: true, queueSize: 8 },
    ask: async bench => {
      const ring = controlOf(bench);
      for (let round = 0; round < 8; round++) {
        const call = bench.call('delGid()', verbs => verbs.delGid(0));
        const command = await bench.expectCommand(Command.DEL_GID);
        ring.write(command.chain, 0, Uint8Array.of(0));
        // In the slot of the command's other descriptor, which the driver goes by when the right one comes.
        ring.misplace(command.chain.head, 1, 1, 0);
        bench.interrupt(ring.index);
        await bench.run();
        bench.expect(
          call.state === 'pending',
          `an element was taken in slot ${ring.used.slot + 1}, and the next one belongs into the slot before it`,
        );
        bench.ok(command);
        await bench.value(call);
      }
      expectSound(bench);
    },
  }),
  ...([true, false] as const).map(packed =>
    probeStarted({
      id: packed ? 'VQ/in-order/packed-batch' : 'VQ/in-order/split-batch',
      doc: 'One used element stands for all chains up to the one that it names: all their verbs come to their end, and all their descriptors are free.',
      requirements: ['VQ-109'],
      needs: { features: packed ? ['packed', 'in-order'] : ['in-order'] },
      options: { packed, inOrder: true },
      ask: async bench => {
        const ring = bench.device.pen(bench.map.control);
        for (let round = 0; round < 8; round++) {
          const calls = [0, 1, 2].map(i => bench.call(`delGid(${i})`, verbs => verbs.delGid(i)));
          await bench.expectCommand(Command.DEL_GID);
          const commands = bench.pending.splice(0);
          for (const { chain } of commands) ring.write(chain, 0, Uint8Array.of(0));
          ring.batch(
            commands.map(({ chain }) => chain),
            1,
          );
          if (ring.interruptWanted()) bench.interrupt(ring.index);
          await bench.run();
          for (const call of calls)
            bench.expect(
              call.state === 'resolved',
              `${call.what} is ${call.state} behind a batch of ${commands.length}`,
            );
        }
        expectSound(bench);
      },
    }),
  ),
  ...([true, false] as const).map(packed =>
    probeStarted({
      id: packed ? 'VQ/in-order/packed-batch-of-sends' : 'VQ/in-order/split-batch-of-sends',
      doc: 'Sends that come back as one element leave room for as many new ones.',
      requirements: ['VQ-109'],
      needs: { features: packed ? ['packed', 'in-order'] : ['in-order'] },
      options: { packed, inOrder: true },
      ask: async bench => {
        const { qp, qpn } = await makeObjects(bench);
        const ring = bench.device.pen(bench.map.sq(qpn));
        for (let round = 0; round < 12; round++) {
          for (let i = 0; i < 4; i++) post(bench, qp, aSend(4 * round + i), ['VQ-109']);
          const chains = takeRequests(bench, ring.index).map(({ chain }) => chain);
          bench.equal(chains.length, 4, 'requests in the ring');
          ring.batch(chains, 0);
        }
        expectSound(bench);
      },
    }),
  ),
];

const making: readonly ConformanceCase[] = [
  probeStarted({
    id: 'VQ/packed/no-more-than-is-free',
    doc: 'With a control queue of a few descriptors, many verbs at once make no chain that has more than there are free ones, and all come to their end.',
    requirements: ['VQ-87', 'VQ-88', 'VQ-84', 'VQ-85', 'VQ-81'],
    needs,
    options: [4, 5, 7, 8].map(queueSize => ({ packed: true, queueSize })),
    ask: async bench => {
      for (let round = 0; round < 6; round++) {
        const calls = Array.from({ length: 9 }, (_, i) =>
          bench.call(`delGid(${i % 3})`, verbs => verbs.delGid(i % 3)),
        );
        // Nothing is answered before all that fits is there.
        await bench.run();
        for (const call of calls) await bench.value(call);
      }
      expectSound(bench);
    },
  }),
  probe({
    id: 'RST/packed/started-anew',
    doc: 'A driver that is started anew on packed rings that were gone round begins at slot 0 with the wrap counter 1, on every queue.',
    requirements: ['VQ-84', 'VQ-83', 'HOST-31', 'VQ-115'],
    needs,
    options: { packed: true, queueSize: 8 },
    ask: async bench => {
      for (let life = 0; life < 4; life++) {
        await bench.start();
        if (!bench.device.usesPacked) throw new CaseUnsupported('the driver does not accept packed');
        const { qp, qpn } = await makeObjects(bench);
        const [control, sends] = [controlOf(bench), bench.device.packedRing(bench.map.sq(qpn))];
        // Each life ends in a lap of its own on either queue: the first with the wrap counter 0.
        for (let i = 0; i <= life || control.next.wrap !== (life % 2 === 1); i++)
          await bench.do('delGid()', verbs => verbs.delGid(i % 3));
        for (let i = 0; i <= life || sends.next.wrap !== (life % 2 === 1); i++) {
          post(bench, qp, aSend(i));
          const requests = takeRequests(bench, sends.index);
          bench.equal(requests.length, 1, `requests in the ring in life ${life}`, ['VQ-84']);
          giveBack(bench, requests);
        }
        expectSound(bench);
        bench.guest.freeAll();
        bench.sound.reset();
      }
    },
  }),
];

/** Notifications of a send queue for one post. */
function kicksOfPost(bench: Bench, { qp, qpn }: Objects, wrId: number): number {
  const index = bench.map.sq(qpn);
  const before = bench.kicks(index);
  post(bench, qp, aSend(wrId));
  giveBack(bench, takeRequests(bench, index));
  return bench.kicks(index) - before;
}

const telling: readonly ConformanceCase[] = [
  probeStarted({
    id: 'VQ/packed/kick-by-mode',
    doc: 'Posts to a packed send queue are notified while the mode of the device is ENABLE, and not while it is DISABLE.',
    requirements: ['VQ-100', 'VQ-101'],
    needs,
    options,
    ask: async bench => {
      const { objects, ring } = await fourSends(bench);
      for (let round = 0; round < 12; round++) {
        ring.wish(EventMode.DISABLE, 0);
        bench.equal(kicksOfPost(bench, objects, round), 0, 'kicks with DISABLE', ['VQ-101']);
        ring.wish(EventMode.ENABLE, 0);
        bench.equal(kicksOfPost(bench, objects, round), 1, 'kicks with ENABLE', ['VQ-100']);
      }
    },
  }),
  probeStarted({
    id: 'VQ/packed/kick-by-position',
    doc: 'With DESC, the post that goes by the position is notified, in every lap, and those before and behind it are not.',
    requirements: ['VQ-100', 'VQ-101'],
    needs: { features: ['packed', 'event-idx'] },
    options: { packed: true, eventIdx: true },
    ask: async bench => {
      const { objects, ring } = await fourSends(bench);
      for (let round = 0; round < 12; round++) {
        const each = descriptorsOfSend(bench, objects, ring, round);
        ring.wish(EventMode.DESC, ring.next.ahead(2 * each).word);
        const told = [0, 1, 2, 3].map(i => kicksOfPost(bench, objects, 4 * round + i));
        bench.equal(told.join(), '0,0,1,0', 'kicks of four posts, the third of which goes by the position');
        ring.wish(EventMode.DESC, ring.next.ahead(ring.size).word);
        bench.equal(kicksOfPost(bench, objects, round), 0, 'kicks with a position of the lap to come', [
          'VQ-101',
        ]);
      }
    },
  }),
  probeStarted({
    id: 'HOST/packed-wishes/no-sense',
    doc: 'A device that wants to be told of a slot that the ring does not have, or in a mode that does not exist, is served all the same.',
    requirements: ['HOST-34', 'HOST-33'],
    needs: { features: ['packed', 'event-idx'] },
    options: { packed: true, eventIdx: true },
    ask: async bench => {
      const { objects, ring } = await fourSends(bench);
      for (const position of [ring.size, 0x7fff, 0x8000 + ring.size, 0xffff])
        for (const mode of [EventMode.DESC, 3, 0xfffc, 0xffff]) {
          ring.wish(mode, position);
          kicksOfPost(bench, objects, position);
        }
      expectSound(bench);
    },
  }),
  probe({
    id: 'VQ/packed/driver-position-before-mode',
    doc: 'When the driver asks by position, the position is there before the mode that makes it count.',
    requirements: ['VQ-106'],
    needs: { features: ['packed', 'event-idx'] },
    options: { packed: true, eventIdx: true, queueSize: 8 },
    ask: positionFirst,
  }),
];

/** Descriptors that a send takes, by one that nobody is told of. */
function descriptorsOfSend(bench: Bench, { qp }: Objects, ring: PackedPen, wrId: number): number {
  ring.wish(EventMode.DISABLE, 0);
  post(bench, qp, aSend(wrId));
  const requests = takeRequests(bench, ring.index);
  giveBack(bench, requests);
  return requests[0].chain.descriptors.length;
}

/** A device on another processor acts on a wish as soon as the mode says DESC. */
async function positionFirst(bench: Bench): Promise<void> {
  await bench.start();
  if (!bench.device.usesPacked) throw new CaseUnsupported('the driver does not accept packed');
  const ring = controlOf(bench);
  const position = ring.addresses.driver + PackedEvent.POSITION;
  const mode = ring.addresses.driver + PackedEvent.MODE;
  let was: number = EventMode.ENABLE;
  /** Elements given when DESC began to count with a position of before; -1 when nothing is open. */
  let open = -1;
  bench.onStored = (address, value) => {
    if (address === mode) {
      open = value === EventMode.DESC && was !== EventMode.DESC ? ring.given : -1;
      was = value;
    } else if (address === position) {
      bench.expect(
        open !== ring.given,
        'the position was written behind the mode DESC, which counted already',
      );
      open = -1;
    } else if (address < ring.addresses.descriptors + PackedDescriptor.SIZE * ring.size) open = -1;
  };
  for (let i = 0; i < 12; i++) await bench.do('delGid()', verbs => verbs.delGid(i % 3));
}

export const packedRingCases = [...elements, ...making, ...telling];

/** Chapter 4, sections 4.6 to 4.9: kicks that are needed and kicks that are not, used elements in any order, no lost wake-up. */
import { Command, createPdAck } from '../../../abi/index.js';
import { Avail, usedEventOffset } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { words } from './encode.js';
import { aRecv, aSend, makeObjects } from './objects.js';
import { probe, probeStarted } from './probe-case.js';
import { complete, consume, poll, post, postReceive } from './traffic.js';

type Side = 'send' | 'receive';

function queueOf(bench: Bench, side: Side, qpn: number): number {
  return side === 'send' ? bench.map.sq(qpn) : bench.map.rq(qpn);
}

/** Posts one request and says how many kicks its queue got. */
function kicksOfPost(
  bench: Bench,
  side: Side,
  qp: Parameters<typeof post>[1],
  qpn: number,
  wrId: number,
): number {
  const index = queueOf(bench, side, qpn);
  const before = bench.kicks(index);
  if (side === 'send') post(bench, qp, aSend(wrId));
  else postReceive(bench, qp, aRecv(wrId));
  const kicks = bench.kicks(index) - before;
  consume(bench, index);
  return kicks;
}

const sides: readonly Side[] = ['send', 'receive'];

const flagCases = sides.flatMap(side => [
  probeStarted({
    id: `VQ/kick/${side}-wanted`,
    doc: `With NO_NOTIFY clear each post of a ${side} is followed by exactly one kick of its queue.`,
    requirements: ['VQ-61', 'PERF-01'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      for (let i = 0; i < 6; i++) {
        const kicks = kicksOfPost(bench, side, qp, qpn, i);
        bench.expect(kicks >= 1, `post ${i} sent no kick although NO_NOTIFY is clear`, ['VQ-61']);
        bench.expect(kicks <= 1, `post ${i} sent ${kicks} kicks, expected one`, ['PERF-01']);
      }
    },
  }),
  probeStarted({
    id: `VQ/kick/${side}-not-wanted`,
    doc: `With NO_NOTIFY set no post of a ${side} kicks.`,
    requirements: ['VQ-62'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      bench.device.ring(queueOf(bench, side, qpn)).setFlags(1);
      for (let i = 0; i < 6; i++)
        bench.equal(kicksOfPost(bench, side, qp, qpn, i), 0, `kicks of post ${i} with NO_NOTIFY set`);
    },
  }),
  probeStarted({
    id: `VQ/kick/${side}-wanted-again`,
    doc: `NO_NOTIFY comes and goes: each post of a ${side} goes by what stands there then.`,
    requirements: ['VQ-61', 'VQ-62'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      for (let i = 0; i < 8; i++) {
        const wanted = i % 3 !== 1;
        bench.device.ring(queueOf(bench, side, qpn)).setFlags(wanted ? 0 : 1);
        const kicks = kicksOfPost(bench, side, qp, qpn, i);
        bench.equal(kicks, wanted ? 1 : 0, `kicks of post ${i}`, wanted ? ['VQ-61'] : ['VQ-62']);
      }
    },
  }),
  probeStarted({
    id: `VQ/kick/${side}-event-index`,
    doc: `With the event index a post of a ${side} kicks exactly when it passes avail_event.`,
    requirements: ['VQ-63', 'VQ-64', 'PERF-02'],
    needs: { features: ['event-idx'] },
    options: { eventIdx: true },
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      const ring = bench.device.ring(queueOf(bench, side, qpn));
      for (let i = 0; i < 12; i++) {
        const wanted = i % 4 === 2;
        if (i % 4 === 0) ring.setAvailEvent(i + 2);
        const kicks = kicksOfPost(bench, side, qp, qpn, i);
        bench.expect(!wanted || kicks > 0, `post ${i} passes avail_event ${i} and sent no kick`, ['VQ-63']);
        bench.expect(wanted || kicks === 0, `post ${i} does not pass avail_event and sent ${kicks} kicks`, [
          'VQ-64',
        ]);
        bench.expect(kicks <= 1, `post ${i} sent ${kicks} kicks for one wish`, ['PERF-02']);
      }
    },
  }),
  probeStarted({
    id: `VQ/kick/${side}-wish-at-the-last-moment`,
    doc: `The device asks to be notified at the moment at which the index of a ${side} queue is raised, and is notified.`,
    requirements: ['VQ-71'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      const ring = bench.device.ring(queueOf(bench, side, qpn));
      let seen = false;
      bench.onStored = address => {
        if (address !== ring.addresses.driver + Avail.IDX) return;
        seen = true;
        ring.setFlags(0);
      };
      for (let i = 0; i < 3; i++) {
        ring.setFlags(1);
        seen = false;
        const kicks = kicksOfPost(bench, side, qp, qpn, i);
        // A driver that raises the index past this watcher cannot be asked.
        if (seen) bench.equal(kicks, 1, `kicks of post ${i}, for which the device asked when the index rose`);
      }
    },
  }),
]);

export const notificationCases: readonly ConformanceCase[] = [
  ...flagCases,
  probeStarted({
    id: 'VQ/kick/command-wanted',
    doc: 'A command is followed by exactly one kick of the control queue when the device wants it.',
    requirements: ['VQ-61', 'PERF-01'],
    options: [{}, { indirect: true }, { eventIdx: true }],
    ask: async bench => {
      for (let i = 0; i < 3; i++) {
        const before = bench.kicks(bench.map.control);
        await bench.do('createPd()', verbs => verbs.createPd());
        const kicks = bench.kicks(bench.map.control) - before;
        bench.expect(kicks >= 1, 'a command sent no kick', ['VQ-61', 'VQ-63']);
        bench.expect(kicks <= 1, `a command sent ${kicks} kicks`, ['PERF-01']);
      }
    },
  }),
  probeStarted({
    id: 'VQ/kick/command-not-wanted',
    doc: 'With NO_NOTIFY set on the control queue commands come without a kick, and are answered.',
    requirements: ['VQ-62'],
    ask: async bench => {
      bench.device.ring(bench.map.control).setFlags(1);
      const before = bench.kicks(bench.map.control);
      const call = bench.call('createPd()', verbs => verbs.createPd());
      await bench.run();
      bench.look();
      await bench.value(call);
      bench.equal(
        bench.kicks(bench.map.control) - before,
        0,
        'kicks of the control queue with NO_NOTIFY set',
      );
    },
  }),
  probeStarted({
    id: 'VQ/kick/event-index-wraps',
    doc: 'avail_event 65535 is passed by the chain before the index goes to 0, and only by that one.',
    requirements: ['VQ-63', 'VQ-64'],
    long: true,
    needs: { features: ['event-idx'] },
    options: { eventIdx: true, queueSize: 64, limits: { max_qp_wr: 64 }, dmaBytes: 1 << 20 },
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench, { cap: { maxRecvWr: 32, maxRecvSge: 1 } });
      const index = bench.map.rq(qpn);
      const ring = bench.device.ring(index);
      ring.setAvailEvent(65535);
      for (let i = 0; i < 65535; i++) {
        bench.verbs.postRecv(qp, aRecv(i));
        if (i % 32 === 31 || i === 65534) consume(bench, index);
      }
      const before = bench.kicks(index);
      bench.equal(
        kicksOfPost(bench, 'receive', qp, qpn, 1),
        1,
        'kicks of the post that passes avail_event 65535',
      );
      bench.equal(kicksOfPost(bench, 'receive', qp, qpn, 2), 0, 'kicks of the post behind it', ['VQ-64']);
      bench.equal(bench.kicks(index) - before, 1, 'kicks');
    },
  }),
  probeStarted({
    id: 'VQ/flags/zero-with-event-index',
    doc: 'With the event index the flags of every available ring stay 0.',
    requirements: ['VQ-69'],
    needs: { features: ['event-idx'] },
    options: { eventIdx: true },
    ask: async bench => {
      const { qp, qpn, sendCq, sendCqn } = await makeObjects(bench);
      post(bench, qp, aSend(1));
      consume(bench, bench.map.sq(qpn));
      complete(bench, sendCqn, { wr_id: 1, qp_num: qpn });
      poll(bench, sendCq);
      for (const ring of bench.device.splitRings)
        bench.equal(ring.availFlags, 0, `flags of queue ${ring.index}`);
    },
  }),
  ...sides.map(side =>
    probeStarted({
      id: `PERF/interrupts/${side}-queue-off`,
      doc: `The driver does not ask for interrupts of ${side} queues.`,
      requirements: ['PERF-06'],
      options: [{}, { eventIdx: true }],
      ask: async bench => {
        const { qp, qpn } = await makeObjects(bench);
        expectSilence(bench, queueOf(bench, side, qpn), i => {
          if (side === 'send') post(bench, qp, aSend(i));
          else postReceive(bench, qp, aRecv(i));
          consume(bench, queueOf(bench, side, qpn));
        });
      },
    }),
  ),
  probeStarted({
    id: 'CQ/interrupts/off-in-the-ring',
    doc: 'The driver does not ask for interrupts of completion queues by the means of the ring: arming alone does that.',
    requirements: ['CQ-45'],
    options: [{}, { eventIdx: true }],
    ask: async bench => {
      const { qp, qpn, sendCq, sendCqn } = await makeObjects(bench);
      expectSilence(bench, bench.map.cq(sendCqn), i => {
        post(bench, qp, aSend(i));
        consume(bench, bench.map.sq(qpn));
        complete(bench, sendCqn, { wr_id: i, qp_num: qpn });
        poll(bench, sendCq);
      });
    },
  }),
  probeStarted({
    id: 'VQ/used/any-order',
    doc: 'Commands are answered youngest first, and each verb gets the answer to its own.',
    requirements: ['VQ-39', 'ERR-07'],
    options: [{}, { indirect: true }, { eventIdx: true }],
    ask: async bench => {
      const calls = [0, 1, 2].map(i => bench.call(`createPd() ${i}`, verbs => verbs.createPd()));
      let number = 70;
      for (let runs = 0; runs < 8 && calls.some(({ state }) => state === 'pending'); runs++) {
        await bench.run();
        while (bench.pending.length > 0)
          bench.accept(bench.pending[bench.pending.length - 1], words(number++));
      }
      for (const call of calls) await bench.value(call);
      bench.equal(bench.log.filter(code => code === Command.CREATE_PD).length, 3, 'CREATE_PD commands');
    },
  }),
  probeStarted({
    id: 'VQ/used/length-is-the-limit',
    doc: 'A refusal that claims the whole answer was written is a refusal: nothing is taken from behind the ack.',
    requirements: ['VQ-40', 'CTRL-18'],
    ask: async bench => {
      const call = bench.call('createPd()', verbs => verbs.createPd());
      const command = await bench.expectCommand(Command.CREATE_PD);
      bench.answer(command, Uint8Array.of(1, 9, 0, 0, 0), 1 + createPdAck.size);
      await bench.fails(call, 'EINVAL');
      await bench.do('createPd()', verbs => verbs.createPd());
    },
  }),
  probeStarted({
    id: 'VQ/interrupt/stray',
    doc: 'Notifications of queues in which there is nothing new change nothing.',
    requirements: ['VQ-60', 'HOST-34'],
    ask: async bench => {
      const { qp, qpn, sendCq, sendCqn } = await makeObjects(bench);
      for (let index = 0; index < bench.map.count; index++) bench.interrupt(index);
      bench.interrupt('config');
      await bench.run();
      post(bench, qp, aSend(1));
      consume(bench, bench.map.sq(qpn));
      complete(bench, sendCqn, { wr_id: 1, qp_num: qpn });
      bench.equal(poll(bench, sendCq).length, 1, 'completions polled');
      bench.expect(!bench.device.failed, 'the driver set FAILED because of a stray notification');
    },
  }),
  probe({
    id: 'VQ/interrupt/answer-while-arming',
    doc: 'An answer that is used at the moment at which the driver asks for notifications, too late for one, is found by a second look.',
    requirements: ['VQ-74'],
    options: [{}, { eventIdx: true }],
    ask: answeredWhileArming,
  }),
  probeStarted({
    id: 'VQ/interrupt/one-for-many',
    doc: 'Several answers under one interrupt are all seen.',
    requirements: ['VQ-74', 'HOST-33'],
    options: [{}, { eventIdx: true }],
    ask: async bench => {
      const calls = [0, 1, 2].map(i =>
        bench.call(`addGid(${i})`, verbs => verbs.addGid(i, `${i + 1}`.repeat(32))),
      );
      await bench.run();
      const ring = bench.device.ring(bench.map.control);
      for (const { chain } of bench.pending.splice(0)) {
        ring.write(chain, 0, Uint8Array.of(0));
        ring.giveBack(chain, 1);
      }
      if (ring.interruptWanted()) bench.interrupt(ring.index);
      for (const call of calls) await bench.value(call);
    },
  }),
];

/** After the first element, for which a device may decide once with the event index, no notification is asked for. */
function expectSilence(bench: Bench, index: number, useOne: (i: number) => void): void {
  const ring = bench.device.ring(index);
  useOne(0);
  if (bench.eventIdx) ring.interruptWanted();
  for (let i = 1; i < 8; i++) {
    useOne(i);
    bench.expect(
      !ring.interruptWanted(),
      `the driver asks for an interrupt of queue ${index} for element ${i}`,
    );
  }
}

/** The device decides before the driver's wish is there and uses its answer in that moment: no interrupt comes. */
async function answeredWhileArming(bench: Bench): Promise<void> {
  await bench.start();
  const ring = bench.device.ring(bench.map.control);
  const wishes = [ring.addresses.driver + Avail.FLAGS, ring.addresses.driver + usedEventOffset(ring.size)];
  bench.onStoring = address => {
    if (!wishes.includes(address)) return;
    bench.look();
    const command = bench.pending.shift();
    if (command === undefined) return;
    const result = bench.sound.carryOut(command) ?? new Uint8Array(0);
    ring.write(command.chain, 0, Uint8Array.of(0, ...result));
    ring.giveBack(command.chain, 1 + result.length);
    // The decision falls here, before the store: the wish of before counts.
    if (ring.interruptWanted()) bench.scheduler.post({ run: () => bench.interrupt(ring.index) });
  };
  for (let i = 0; i < 3; i++) {
    const first = bench.call('createPd()', verbs => verbs.createPd());
    const second = bench.call('queryPort()', verbs => verbs.queryPort());
    await bench.run();
    // A driver that has asked already waits for this answer; one that looks by itself first has asked, and been answered, by now.
    const [command] = bench.pending;
    if (command !== undefined) bench.ok(command);
    await bench.value(first);
    await bench.value(second);
    await bench.do('destroyPd()', verbs => verbs.destroyPd(first.value));
  }
}

/** Chapter 8, sections 8.6 and 8.7: arming, events, and nobody who sleeps for ever. */
import { Command } from '../../../abi/index.js';
import type { CompletionQueue } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { aSend, makeObjects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, consume, poll, post } from './traffic.js';

/** A completion queue that counts its events. */
async function counted(bench: Bench): Promise<{ cq: CompletionQueue; events: () => number; index: number }> {
  let events = 0;
  const cq = await bench.do('createCq(4)', verbs => verbs.createCq(4, () => void events++));
  return { cq, events: () => events, index: bench.map.cq(0) };
}

async function raise(bench: Bench, index: number): Promise<void> {
  bench.interrupt(index);
  await bench.run();
}

export const eventCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'CQ/event/one-handler-call-for-each-arming',
    doc: 'Each arming brings one call of the handler at the interrupt, and further interrupts none.',
    requirements: ['CQ-46', 'CQ-47', 'VQ-60'],
    ask: async bench => {
      const { cq, events, index } = await counted(bench);
      await raise(bench, index);
      bench.equal(events(), 0, 'calls of the handler before any arming', ['CQ-47']);
      for (let i = 1; i <= 4; i++) {
        await bench.do('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, i % 2 === 0));
        bench.equal(events(), i - 1, 'calls of the handler before the interrupt');
        await raise(bench, index);
        bench.equal(events(), i, 'calls of the handler after the interrupt', ['CQ-46']);
        await raise(bench, index);
        bench.equal(events(), i, 'calls of the handler after a stray interrupt', ['CQ-47']);
      }
    },
  }),
  probeStarted({
    id: 'CQ/event/before-the-answer',
    doc: 'The device arms, completes and interrupts before the driver sees the answer to the arming: the event is not lost.',
    requirements: ['CQ-48'],
    ask: async bench => {
      const { cq, events, index } = await counted(bench);
      const call = bench.call('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, false));
      const command = await bench.expectCommand(Command.REQ_NOTIFY_CQ);
      await raise(bench, index);
      bench.ok(command);
      await bench.value(call);
      await bench.run();
      bench.equal(events(), 1, 'calls of the handler');
    },
  }),
  probeStarted({
    id: 'CQ/event/stray-before-the-answer',
    doc: 'A stray interrupt between the arming and its answer does not use up the event that comes behind the answer.',
    requirements: ['CQ-49'],
    ask: async bench => {
      const { cq, events, index } = await counted(bench);
      const call = bench.call('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, false));
      const command = await bench.expectCommand(Command.REQ_NOTIFY_CQ);
      await raise(bench, index);
      bench.ok(command);
      await bench.value(call);
      const before = events();
      await raise(bench, index);
      bench.equal(events(), before + 1, 'calls of the handler after the event');
    },
  }),
  probeStarted({
    id: 'CQ/event/refused-arming',
    doc: 'An arming that the device refuses is none.',
    requirements: ['CQ-47', 'ERR-06'],
    ask: async bench => {
      const { cq, events, index } = await counted(bench);
      const call = bench.call('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, false));
      bench.refuse(await bench.expectCommand(Command.REQ_NOTIFY_CQ));
      await bench.fails(call, 'EINVAL', ['ERR-04']);
      await raise(bench, index);
      bench.equal(events(), 0, 'calls of the handler');
    },
  }),
  probeStarted({
    id: 'CQ/event/not-within-a-verb',
    doc: 'An interrupt that comes while a verb is at work is not handed to the program within that verb.',
    requirements: ['CQ-50'],
    ask: async bench => {
      let events = 0;
      let inside = false;
      const { qp, qpn } = await makeObjects(bench);
      const cq = await bench.do('createCq(4)', verbs =>
        verbs.createCq(4, () => {
          events++;
          bench.expect(!inside, 'the handler was called from within a verb');
        }),
      );
      await bench.do('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, false));
      const look = bench.device.onKick;
      bench.device.onKick = queue => {
        if (queue === bench.map.sq(qpn)) bench.interrupt(bench.map.cq(2));
        look(queue);
      };
      inside = true;
      post(bench, qp, aSend(1));
      poll(bench, cq);
      inside = false;
      await bench.run();
      bench.equal(events, 1, 'calls of the handler');
    },
  }),
  probeStarted({
    id: 'CQ/event/handlers-apart',
    doc: 'The interrupt of one completion queue calls the handler of that one, with its own handle.',
    requirements: ['CQ-46'],
    ask: async bench => {
      const called: CompletionQueue[] = [];
      const cqs: CompletionQueue[] = [];
      for (let i = 0; i < 3; i++) {
        const cq = await bench.do('createCq(2)', verbs =>
          verbs.createCq(2, which => void called.push(which)),
        );
        await bench.do('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, false));
        cqs.push(cq);
      }
      for (const i of [2, 0, 1]) {
        await raise(bench, bench.map.cq(i));
        bench.equal(called.at(-1), cqs[i], `the handle that the handler of queue ${i} was called with`);
      }
      bench.equal(called.length, 3, 'calls of the handlers');
    },
  }),
  probeStarted({
    id: 'CQ/event/none-after-destroy',
    doc: 'No event of a destroyed completion queue reaches the program, although it was armed; nor is one inherited.',
    requirements: ['RST-15', 'RST-39'],
    ask: async bench => {
      const { cq, events, index } = await counted(bench);
      await bench.do('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, false));
      await bench.do('destroyCq()', verbs => verbs.destroyCq(cq));
      await raise(bench, index);
      let inherited = 0;
      await bench.do('createCq(4)', verbs => verbs.createCq(4, () => void inherited++));
      await raise(bench, index);
      bench.equal(events(), 0, 'calls of the handler after the destroy');
      bench.equal(inherited, 0, 'calls of the handler of a new queue that is not armed', ['CQ-47']);
    },
  }),
  probeStarted({
    id: 'CQ/event/without-a-handler',
    doc: 'A completion queue without a handler may be armed; its interrupt harms nobody.',
    requirements: ['CQ-52', 'HOST-34'],
    ask: async bench => {
      const cq = await bench.do('createCq(4)', verbs => verbs.createCq(4));
      await bench.do('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, true));
      await raise(bench, bench.map.cq(0));
      bench.equal(poll(bench, cq).length, 0, 'completions polled');
    },
  }),
  ...(['command', 'answer', 'poll', 'sleep'] as const).map(moment =>
    probeStarted({
      id: `CQ/event/wakes-before-${moment}`,
      doc: `A program that arms, polls and sleeps finds the completion that comes before the ${moment}, or is woken.`,
      requirements: ['CQ-51', 'CQ-48', 'CQ-46'],
      options: [{}, { eventIdx: true }],
      ask: async bench => wakes(bench, moment),
    }),
  ),
];

/** Arm, poll, sleep, with a completion at one moment of it; the device interrupts if the queue is armed by then. */
async function wakes(bench: Bench, moment: 'command' | 'answer' | 'poll' | 'sleep'): Promise<void> {
  let events = 0;
  const { qp, qpn, pd } = await makeObjects(bench, { oneCq: true });
  await bench.do('destroyQp()', verbs => verbs.destroyQp(qp));
  const cq = await bench.do('createCq(4)', verbs => verbs.createCq(4, () => void events++));
  const init = { type: qp.type, sqSigAll: true, sendCq: cq, recvCq: cq, cap: qp.cap };
  const mine = await bench.do('createQp()', verbs => verbs.createQp(pd, init));
  for (const change of [{ qpState: 1, qpAccessFlags: 0 }, { qpState: 6 }] as const)
    await bench.do('modifyQp()', verbs => verbs.modifyQp(mine, change));
  post(bench, mine, aSend(1));
  consume(bench, bench.map.sq(qpn));
  let armed = false;
  const happens = async (now: string): Promise<void> => {
    if (now !== moment) return;
    complete(bench, 1, { wr_id: 1, qp_num: qpn, status: 4 });
    if (armed) await raise(bench, bench.map.cq(1));
  };
  await happens('command');
  const call = bench.call('reqNotifyCq()', verbs => verbs.reqNotifyCq(cq, false));
  const command = await bench.expectCommand(Command.REQ_NOTIFY_CQ);
  armed = true;
  await happens('answer');
  bench.ok(command);
  await bench.value(call);
  await happens('poll');
  const found = poll(bench, cq).length;
  await happens('sleep');
  bench.expect(found + events > 0, 'the program found nothing, sleeps, and is not woken');
  bench.equal(found + poll(bench, cq).length, 1, 'completions polled in all');
}

/** Chapter 15: what the driver may cost, counted at the registers, the rings and the operating system. */
import { Command } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { aRecv, aSend, makeAddress, makeObjects, makeRegion, someAddress } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, consume, giveBack, poll, post, postReceive, takeReceives, takeSends } from './traffic.js';

/** Sends, completes and polls `count` messages. */
function messages(bench: Bench, { qp, qpn, sendCq }: Objects, count: number): void {
  for (let i = 0; i < count; i++) {
    post(bench, qp, aSend(i));
    postReceive(bench, qp, aRecv(i));
    consume(bench, bench.map.sq(qpn));
    consume(bench, bench.map.rq(qpn));
    complete(bench, 0, { wr_id: i, qp_num: qpn });
    bench.equal(poll(bench, sendCq).length, 1, 'completions polled');
    bench.equal(poll(bench, sendCq).length, 0, 'completions behind the last');
  }
}

/** The device wants no notification of any queue. */
function deviceAwake(bench: Bench): void {
  for (const ring of bench.device.splitRings) {
    if (bench.eventIdx) ring.setAvailEvent(ring.taken - 1);
    else ring.setFlags(1);
  }
}

export const performanceCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'PERF/exits/polling-run',
    doc: 'With a device that does not sleep and a program that polls, no message causes an exit: no kick, no register access.',
    requirements: ['PERF-18', 'PERF-07', 'CQ-52'],
    options: [{}, { eventIdx: true }, { indirect: true }],
    ask: async bench => {
      const objects = await makeObjects(bench);
      deviceAwake(bench);
      const [registers, kicks] = [bench.device.accessCount, bench.transport.notifications];
      messages(bench, objects, 200);
      bench.equal(bench.device.accessCount - registers, 0, 'register accesses of 200 messages');
      bench.equal(bench.transport.notifications - kicks, 0, 'kicks of 200 messages');
    },
  }),
  probeStarted({
    id: 'PERF/exits/poll',
    doc: 'A poll, empty or not, takes no register access and no command, and no kick while the device wants none.',
    requirements: ['PERF-07', 'PERF-09'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      const { qp, qpn, sendCq } = objects;
      bench.device.ring(bench.map.cq(0)).setFlags(1);
      post(bench, qp, aSend(1));
      consume(bench, bench.map.sq(qpn));
      complete(bench, 0, { wr_id: 1, qp_num: qpn });
      const [registers, kicks, commands] = [
        bench.device.accessCount,
        bench.transport.notifications,
        bench.log.length,
      ];
      for (let i = 0; i < 50; i++) poll(bench, sendCq);
      await bench.run();
      bench.equal(bench.device.accessCount - registers, 0, 'register accesses of 50 polls');
      bench.equal(bench.transport.notifications - kicks, 0, 'kicks of 50 polls');
      bench.equal(bench.log.length - commands, 0, 'commands of 50 polls', ['PERF-09']);
    },
  }),
  probeStarted({
    id: 'PERF/commands/none-for-data',
    doc: 'Posts and polls send no command.',
    requirements: ['PERF-09'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      const before = bench.log.length;
      messages(bench, objects, 20);
      await bench.run();
      bench.equal(bench.log.length - before, 0, 'commands of 20 messages');
    },
  }),
  probeStarted({
    id: 'PERF/commands/one-for-each-verb',
    doc: 'Each control verb is one command.',
    requirements: ['PERF-08'],
    ask: oneCommand,
  }),
  probeStarted({
    id: 'PERF/descriptors/commands',
    doc: 'A command has at most four descriptors.',
    requirements: ['PERF-11'],
    options: [{}, { indirect: true }],
    ask: async bench => {
      const pd = await bench.do('createPd()', verbs => verbs.createPd());
      const call = bench.call('regMr()', verbs =>
        verbs.regMr(pd, { addr: 0x7f00_0000_0000, length: 4096 * 9, access: 1 }),
      );
      const { chain } = await bench.expectCommand(Command.REG_USER_MR);
      bench.expect(
        chain.parts.length <= 4,
        `REG_USER_MR has ${chain.parts.length} descriptors, expected at most 4`,
      );
      await bench.value(call);
      const query = bench.call('queryPort()', verbs => verbs.queryPort());
      const command = await bench.expectCommand(Command.QUERY_PORT);
      bench.expect(
        command.chain.parts.length <= 4,
        `QUERY_PORT has ${command.chain.parts.length} descriptors`,
      );
      await bench.value(query);
    },
  }),
  probeStarted({
    id: 'PERF/descriptors/requests',
    doc: 'A request is one descriptor, and so is a completion buffer.',
    requirements: ['PERF-13'],
    options: [{}, { indirect: true }],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      post(bench, qp, aSend(1));
      postReceive(bench, qp, aRecv(1));
      const requests = [...takeSends(bench, qpn), ...takeReceives(bench, qpn)];
      for (const { chain } of requests)
        bench.equal(chain.parts.length, 1, `descriptors of a request on queue ${chain.queue}`);
      giveBack(bench, requests);
      for (const chain of bench.device.ring(bench.map.cq(0)).takeAll())
        bench.equal(chain.parts.length, 1, 'descriptors of a completion buffer');
    },
  }),
  probeStarted({
    id: 'PERF/kicks/completion-buffers',
    doc: 'A poll that gives back several buffers kicks once at most, where the device wants to know.',
    requirements: ['PERF-01', 'VQ-61'],
    ask: async bench => {
      const { qp, qpn, sendCq } = await makeObjects(bench);
      for (let i = 0; i < 4; i++) post(bench, qp, aSend(i));
      consume(bench, bench.map.sq(qpn));
      for (let i = 0; i < 4; i++) complete(bench, 0, { wr_id: i, qp_num: qpn });
      const before = bench.kicks(bench.map.cq(0));
      bench.equal(poll(bench, sendCq).length, 4, 'completions polled');
      const kicks = bench.kicks(bench.map.cq(0)) - before;
      bench.expect(kicks >= 1, 'no kick for buffers although NO_NOTIFY is clear', ['VQ-61']);
    },
  }),
];

async function oneCommand(bench: Bench): Promise<void> {
  const { pd, qp, sendCq, recvCq } = await makeObjects(bench);
  const counted = async <T>(what: string, run: Parameters<typeof bench.do<T>>[1]): Promise<T> => {
    const before = bench.log.length;
    const value = await bench.do(what, run);
    await bench.run();
    bench.equal(bench.log.length - before, 1, `commands of ${what}`);
    return value;
  };
  await counted('queryDevice()', verbs => verbs.queryDevice());
  await counted('queryPort()', verbs => verbs.queryPort());
  await counted('reqNotifyCq()', verbs => verbs.reqNotifyCq(sendCq, false));
  await counted('queryQp()', verbs => verbs.queryQp(qp));
  await counted('modifyQp()', verbs => verbs.modifyQp(qp, { minRnrTimer: 1 }));
  await counted('addGid()', verbs => verbs.addGid(1, someAddress.dgid));
  await counted('delGid()', verbs => verbs.delGid(1));
  const another = await counted('createPd()', verbs => verbs.createPd());
  const mr = await makeRegion(bench, another);
  const ah = await makeAddress(bench, another);
  await counted('deregMr()', verbs => verbs.deregMr(mr));
  await counted('destroyAh()', verbs => verbs.destroyAh(ah));
  await counted('destroyPd()', verbs => verbs.destroyPd(another));
  await counted('destroyQp()', verbs => verbs.destroyQp(qp));
  for (const cq of [sendCq, recvCq]) await counted('destroyCq()', verbs => verbs.destroyCq(cq));
  await counted('destroyPd()', verbs => verbs.destroyPd(pd));
}

/** Chapter 12 and 10.4: destroys and resets of queue pairs on rings that go on, DEVICE_NEEDS_RESET, starting again. */
import { Command, QpState, QpType } from '../../../abi/index.js';
import { DeviceStatus } from '../../../virtio/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { describe, errnoOf } from './call.js';
import { expectAllEio } from './given-up.js';
import {
  aRecv,
  aSend,
  makeAddress,
  makeObjects,
  makeRegion,
  smallCap,
  someAddress,
  walkTo,
} from './objects.js';
import { probe, probeStarted } from './probe-case.js';
import { complete, consume, poll, post, postReceive, takeReceives, takeSends, wrIdOf } from './traffic.js';

const ends = ['destroy', 'reset'] as const;

export const resetCases: readonly ConformanceCase[] = [
  ...ends.map(how =>
    probeStarted({
      id: `RST/rings/go-on-after-${how}`,
      doc: `After a ${how} of the queue pair its rings go on where they are: indices are not rewound and requests are found behind the old ones.`,
      requirements: ['RST-06', 'RST-09'],
      options: [{}, { indirect: true, eventIdx: true }],
      ask: async bench => ringsGoOn(bench, how),
    }),
  ),
  probeStarted({
    id: 'RST/completion-queue/rings-go-on',
    doc: 'A completion queue that takes the number of a destroyed one goes on with the ring, with its own buffers.',
    requirements: ['CQ-15', 'CQ-14', 'VQ-29'],
    ask: async bench => {
      for (let round = 0; round < 5; round++) {
        const { qp, qpn, pd, sendCq } = await makeObjects(bench, { oneCq: true, cqe: 1 + round });
        post(bench, qp, aSend(round));
        consume(bench, bench.map.sq(qpn));
        complete(bench, 0, { wr_id: round, qp_num: qpn });
        bench.equal(poll(bench, sendCq)[0]?.wrId, round, 'wr_id polled');
        await bench.do('destroyQp()', verbs => verbs.destroyQp(qp));
        await bench.do('destroyCq()', verbs => verbs.destroyCq(sendCq));
        await bench.do('destroyPd()', verbs => verbs.destroyPd(pd));
      }
    },
  }),
  ...ends.map(how =>
    probeStarted({
      id: `RST/pending/posts-during-${how}`,
      doc: `Posts while a ${how} is pending are refused, or kept and forgotten at its OK: nothing of them stays in the ring for whoever comes next.`,
      requirements: ['ORD-19', 'RST-09'],
      ask: async bench => postsDuring(bench, how),
    }),
  ),
  probeStarted({
    id: 'RST/pending/refused-destroy-goes-on',
    doc: 'A destroy that is refused leaves the queue pair as it was: posts before it and behind it reach the ring in order.',
    requirements: ['ERR-06', 'DATA-04'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      post(bench, qp, aSend(1));
      const call = bench.call('destroyQp()', verbs => verbs.destroyQp(qp));
      bench.refuse(await bench.expectCommand(Command.DESTROY_QP));
      await bench.fails(call, 'EINVAL', ['ERR-04']);
      post(bench, qp, aSend(2));
      bench.equal(takeSends(bench, qpn).map(wrIdOf).join(), '1,2', 'wr_ids in the ring');
    },
  }),
  probeStarted({
    id: 'RST/memory/freed-is-not-used',
    doc: 'Memory that the driver gives back to its operating system is not shown to the device any more, and not written to.',
    requirements: ['HOST-30', 'RST-37'],
    options: [{}, { indirect: true }],
    ask: freedIsNotUsed,
  }),
  probeStarted({
    id: 'RST/memory/nothing-leaks',
    doc: 'Twenty lives of every kind of object hold no more memory than two: memory that only grows ends in a refusal of what the device would accept.',
    requirements: ['ERR-05'],
    ask: async bench => {
      let after = 0;
      for (let life = 0; life < 20; life++) {
        await oneLife(bench);
        if (life === 1) after = bench.guest.inner.dmaBytesInUse;
      }
      bench.expect(
        bench.guest.inner.dmaBytesInUse <= after,
        `${bench.guest.inner.dmaBytesInUse} bytes of DMA memory are held after 20 lives, ${after} after 2`,
      );
    },
  }),
  probeStarted({
    id: 'ERR/needs-reset/pending-verbs',
    doc: 'When the device sets DEVICE_NEEDS_RESET every pending verb fails with EIO, once.',
    requirements: ['ERR-25'],
    ask: async bench => {
      const calls = [
        bench.call('createPd()', verbs => verbs.createPd()),
        bench.call('queryPort()', verbs => verbs.queryPort()),
        bench.call('createCq(1)', verbs => verbs.createCq(1)),
      ];
      await bench.run();
      bench.needsReset();
      await bench.run();
      for (const call of calls)
        bench.expect(
          call.state === 'rejected' && errnoOf(call.error) === 'EIO',
          `${call.what} ${describe(call)}, expected EIO`,
        );
    },
  }),
  probeStarted({
    id: 'RST/pending/verbs-at-a-reset',
    doc: 'Of the verbs that are pending when the device has to be reset and started again each fails with EIO, and none is settled by the new start.',
    requirements: ['RST-38', 'ERR-25'],
    ask: async bench => {
      const calls = [
        bench.call('createPd()', verbs => verbs.createPd()),
        bench.call('queryDevice()', verbs => verbs.queryDevice()),
        bench.call('createCq(1)', verbs => verbs.createCq(1)),
        bench.call('delGid(0)', verbs => verbs.delGid(0)),
      ];
      await bench.run();
      bench.needsReset();
      // A driver may look at the status when its turn comes, and not in the interrupt itself.
      await bench.run();
      await bench.start();
      for (const call of calls)
        bench.expect(
          call.state === 'rejected' && errnoOf(call.error) === 'EIO',
          `${call.what} ${describe(call)} after the reset, expected EIO`,
        );
    },
  }),
  probeStarted({
    id: 'ERR/needs-reset/every-verb',
    doc: 'After DEVICE_NEEDS_RESET every verb fails with EIO, and no virtqueue is touched or kicked.',
    requirements: ['ERR-26'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      const mr = await makeRegion(bench, objects.pd);
      const ah = await makeAddress(bench, objects.pd);
      post(bench, objects.qp, aSend(1));
      bench.needsReset();
      await bench.run();
      await expectAllEio(bench, { ...objects, mr, ah });
    },
  }),
  probeStarted({
    id: 'ERR/needs-reset/memory-stays',
    doc: 'After DEVICE_NEEDS_RESET no memory and no page is given back before the reset: nobody knows what the device still does.',
    requirements: ['RST-37', 'HOST-30', 'MEM-03'],
    ask: async bench => {
      const objects = await makeObjects(bench);
      await makeRegion(bench, objects.pd, { length: 2 * 4096 });
      const [held, pinned] = [bench.guest.inner.dmaBytesInUse, bench.guest.pinnedPages];
      bench.needsReset();
      await bench.run();
      bench.expect(
        bench.guest.inner.dmaBytesInUse >= held,
        'memory was given back that the device could reach',
      );
      bench.equal(bench.guest.pinnedPages, pinned, 'pages in use');
    },
  }),
  probeStarted({
    id: 'ERR/config-change/nothing-happens',
    doc: 'A change of the configuration that is no DEVICE_NEEDS_RESET does not stop the driver.',
    requirements: ['HOST-34', 'ERR-05'],
    ask: async bench => {
      bench.device.generation++;
      bench.interrupt('config');
      await bench.run();
      await makeObjects(bench);
    },
  }),
  probe({
    id: 'HOST/restart/after-a-broken-device',
    doc: 'A device that was given up can be started again: the driver resets it, and it works.',
    requirements: ['HOST-31', 'FEAT-21', 'FEAT-22'],
    ask: async bench => {
      await bench.start();
      const call = bench.call('createPd()', verbs => verbs.createPd());
      bench.answer(await bench.expectCommand(Command.CREATE_PD), Uint8Array.of(7));
      await bench.fails(call, 'EIO', ['HOST-11']);
      bench.device.accesses.length = 0;
      await bench.start();
      const first = bench.device.accesses.find(({ register, write }) => register === 'status' && write);
      bench.equal(first?.value, 0, 'the first status written');
      bench.equal(bench.device.status & DeviceStatus.FAILED, 0, 'FAILED');
      await makeObjects(bench);
    },
  }),
];

async function ringsGoOn(bench: Bench, how: 'destroy' | 'reset'): Promise<void> {
  const { pd, sendCq, recvCq, ...made } = await makeObjects(bench);
  let { qp } = made;
  const { qpn } = made;
  for (let round = 0; round < 7; round++) {
    for (let i = 0; i < 3; i++) {
      post(bench, qp, aSend(round * 10 + i));
      postReceive(bench, qp, aRecv(round * 10 + i));
    }
    // Some are taken and returned, some are taken, some are left in the ring.
    consume(bench, bench.map.sq(qpn));
    post(bench, qp, aSend(round * 10 + 3));
    takeReceives(bench, qpn);
    if (how === 'destroy') {
      await bench.do('destroyQp()', verbs => verbs.destroyQp(qp));
      const init = { type: QpType.RC, sqSigAll: false, sendCq, recvCq, cap: smallCap };
      qp = await bench.do('createQp()', verbs => verbs.createQp(pd, init));
    } else await bench.do('modifyQp(to RESET)', verbs => verbs.modifyQp(qp, { qpState: QpState.RESET }));
    for (const index of [bench.map.sq(qpn), bench.map.rq(qpn)])
      bench.equal(bench.device.ring(index).available, 0, `chains on queue ${index} that are of nobody`, [
        'RST-09',
      ]);
    await walkTo(bench, qp, QpType.RC, QpState.RTS);
    post(bench, qp, aSend(500 + round));
    bench.equal(takeSends(bench, qpn).map(wrIdOf).join(), `${500 + round}`, 'wr_ids in the ring', [
      'RST-06',
      'RST-09',
    ]);
    for (const chain of bench.device.ring(bench.map.sq(qpn)).outstanding.values())
      bench.device.ring(bench.map.sq(qpn)).giveBack(chain, 0);
  }
}

async function postsDuring(bench: Bench, how: 'destroy' | 'reset'): Promise<void> {
  const { qp, qpn, pd, sendCq, recvCq } = await makeObjects(bench);
  const call =
    how === 'destroy'
      ? bench.call('destroyQp()', verbs => verbs.destroyQp(qp))
      : bench.call('modifyQp(to RESET)', verbs => verbs.modifyQp(qp, { qpState: QpState.RESET }));
  const command = await bench.expectCommand(how === 'destroy' ? Command.DESTROY_QP : Command.MODIFY_QP);
  for (const run of [() => bench.verbs.postSend(qp, aSend(1)), () => bench.verbs.postRecv(qp, aRecv(2))]) {
    try {
      run();
    } catch (error) {
      bench.expect(errnoOf(error) === 'EINVAL', `a post while the ${how} is pending threw ${String(error)}`, [
        'ERR-08',
      ]);
    }
  }
  bench.ok(command);
  await bench.value(call);
  const init = { type: QpType.RC, sqSigAll: false, sendCq, recvCq, cap: smallCap };
  const next = how === 'destroy' ? await bench.do('createQp()', verbs => verbs.createQp(pd, init)) : qp;
  await walkTo(bench, next, QpType.RC, QpState.RTS);
  post(bench, next, aSend(7));
  postReceive(bench, next, aRecv(8));
  const seen = [...takeSends(bench, qpn), ...takeReceives(bench, qpn)].map(wrIdOf);
  bench.equal(seen.join(), '7,8', 'wr_ids in the rings behind the end');
}

async function oneLife(bench: Bench): Promise<void> {
  const { qp, qpn, pd, sendCq, recvCq } = await makeObjects(bench, { type: QpType.UD });
  const mr = await makeRegion(bench, pd, { length: 3 * 4096 });
  const ah = await bench.do('createAh()', verbs => verbs.createAh(pd, someAddress));
  for (let i = 0; i < 3; i++) {
    post(bench, qp, aSend(i, { ah }));
    postReceive(bench, qp, aRecv(i));
  }
  consume(bench, bench.map.sq(qpn));
  await bench.do('destroyAh()', verbs => verbs.destroyAh(ah));
  await bench.do('destroyQp()', verbs => verbs.destroyQp(qp));
  await bench.do('deregMr()', verbs => verbs.deregMr(mr));
  for (const cq of new Set([sendCq, recvCq])) await bench.do('destroyCq()', verbs => verbs.destroyCq(cq));
  await bench.do('destroyPd()', verbs => verbs.destroyPd(pd));
}

/** What is freed is filled by the guest with bytes of its own: they must be there at the next free, and no chain may name them. */
async function freedIsNotUsed(bench: Bench): Promise<void> {
  const freed: { readonly address: number; readonly length: number }[] = [];
  bench.guest.onFree = ({ address, bytes }) => void freed.push({ address, length: bytes.length });
  for (let life = 0; life < 4; life++) {
    await oneLife(bench);
    for (const ring of bench.device.rings.values()) {
      for (const { parts } of ring.outstanding.values())
        for (const { address, length } of parts)
          bench.expect(
            bench.guest.owns(address, length),
            `a chain that is outstanding on queue ${ring.index} names memory that was given back`,
          );
    }
  }
  const byte = new Uint8Array(1);
  for (const { address, length } of freed) {
    for (let at = address; at < address + length; at += 16) {
      if (bench.guest.owns(at, 1)) continue;
      bench.guest.inner.memory.read(at, byte, 0, 1);
      bench.expect(byte[0] === 0xdb, `byte ${at} of memory that was given back was written to`);
    }
  }
}

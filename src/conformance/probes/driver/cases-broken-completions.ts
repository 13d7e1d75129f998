/** Chapter 14: completions and returned chains that no honest device gives, storms of notifications, reads that are made once. */
import { Command, QpState, WcOpcode, WcStatus } from '../../../abi/index.js';
import type { CompletionQueue } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import { describe, errnoOf } from './call.js';
import { completionBytes } from './encode.js';
import type { CompletionFields } from './encode.js';
import { expectAllEio, expectFailed } from './given-up.js';
import { aRecv, aSend, makeObjects } from './objects.js';
import type { Objects } from './objects.js';
import { probeStarted } from './probe-case.js';
import { complete, consume, emptyCompletions, poll, post, postReceive } from './traffic.js';

export const SEND = { wr_id: 1, qp_num: 2, opcode: WcOpcode.SEND };
const RECV = { wr_id: 2, qp_num: 2, opcode: WcOpcode.RECV, byte_len: 64 };

/** A send with number 1 and a receive of 64 bytes with number 2 are posted, on queue pair 2. */
export async function posted(bench: Bench, init: Parameters<typeof makeObjects>[1] = {}): Promise<Objects> {
  const objects = await makeObjects(bench, init);
  post(bench, objects.qp, aSend(1));
  postReceive(bench, objects.qp, aRecv(2));
  consume(bench, bench.map.sq(objects.qpn));
  consume(bench, bench.map.rq(objects.qpn));
  return objects;
}

/** The poll must throw EIO, and deliver nothing. */
function pollFinds(bench: Bench, cq: CompletionQueue, requirements?: readonly string[]): void {
  const into = emptyCompletions(4);
  bench.step('program', 'driver', 'pollCq(4)');
  let count: number;
  try {
    count = bench.verbs.pollCq(cq, into, 4);
  } catch (error) {
    bench.expect(errnoOf(error) === 'EIO', `pollCq threw ${String(error)}, expected EIO`, requirements);
    return;
  }
  bench.expect(
    count === 0,
    `pollCq handed out ${count} completions because of the lie, status ${into[0].status}`,
    requirements,
  );
}

/** Where the lie is told, and what it says. */
const lies: readonly (readonly [string, string, string, 'send' | 'receive', Partial<CompletionFields>])[] = [
  ...[16, 17, 128, 255].map(
    status =>
      [
        `status-${status}`,
        'HOST-20',
        `status ${status}, which is not in the table`,
        'send',
        { ...SEND, status },
      ] as const,
  ),
  ...[5, 6, 128, 255].map(
    opcode =>
      [
        `opcode-${opcode}`,
        'HOST-21',
        `success with opcode ${opcode}, which is not in the table`,
        'send',
        { ...SEND, opcode },
      ] as const,
  ),
  ...[4, 8, 0x8000_0000].map(
    flags =>
      [
        `flags-${flags}`,
        'HOST-21',
        `success with flags ${flags}, which are not in the table`,
        'send',
        { ...SEND, wc_flags: flags },
      ] as const,
  ),
  ...[0, 1, 3, 4, 5, 0xffff_ffff].map(
    qpn =>
      [
        `queue-pair-${qpn}`,
        'HOST-22',
        `queue pair ${qpn}, which does not exist`,
        'send',
        { ...SEND, qp_num: qpn },
      ] as const,
  ),
  [
    'failed-queue-pair-3',
    'HOST-22',
    'an error of queue pair 3, which does not exist',
    'send',
    { ...SEND, qp_num: 3, status: WcStatus.WR_FLUSH_ERR },
  ],
  ['receive-on-the-send-queue', 'HOST-22', 'a receive on the completion queue for sends', 'send', RECV],
  ['send-on-the-receive-queue', 'HOST-22', 'a send on the completion queue for receives', 'receive', SEND],
  ['request-not-posted', 'HOST-23', 'a send that was not posted', 'send', { ...SEND, wr_id: 9 }],
  [
    'request-not-posted-53-bits',
    'HOST-23',
    'a number whose low half only was posted',
    'send',
    { ...SEND, wr_id: 0x1_0000_0001 },
  ],
  [
    'failed-request-not-posted',
    'HOST-23',
    'an error of a send that was not posted',
    'send',
    { ...SEND, wr_id: 9, status: WcStatus.WR_FLUSH_ERR },
  ],
  ['receive-not-posted', 'HOST-23', 'a receive that was not posted', 'receive', { ...RECV, wr_id: 9 }],
  [
    'failed-receive-on-the-send-queue',
    'HOST-23',
    'an error of the receive on the completion queue for sends',
    'send',
    { ...RECV, status: WcStatus.WR_FLUSH_ERR },
  ],
  [
    'receive-one-byte-too-long',
    'HOST-24',
    'a receive of 65 bytes into 64',
    'receive',
    { ...RECV, byte_len: 65 },
  ],
  [
    'receive-absurdly-long',
    'HOST-24',
    'a receive of 2^32 - 1 bytes into 64',
    'receive',
    { ...RECV, byte_len: 0xffff_ffff },
  ],
];

const lieCases = lies.map(([what, requirement, doc, side, fields]) =>
  probeStarted({
    id: `HOST/completion/${what}`,
    doc: `A completion says ${doc}: it is not handed out, the device is given up, and every verb is EIO.`,
    requirements: [requirement, 'HOST-28', 'HOST-29', 'ERR-26'],
    ask: async bench => {
      const objects = await posted(bench);
      complete(bench, side === 'send' ? 0 : 1, fields);
      pollFinds(bench, side === 'send' ? objects.sendCq : objects.recvCq);
      expectFailed(bench);
      await expectAllEio(bench, { ...objects, mr: { kind: 'mr', lkey: 1, rkey: 0 }, ah: { kind: 'ah' } });
    },
  }),
);

const lengthCases = [0, 1, 47, 49, 0xffff_ffff].map(written =>
  probeStarted({
    id: `HOST/completion/length-${written}`,
    doc: `A completion buffer comes back with a used length of ${written}: the device is given up.`,
    requirements: [written > 48 ? 'VQ-43' : 'HOST-19', 'HOST-28', 'HOST-29'],
    ask: async bench => {
      const { sendCq } = await posted(bench);
      const ring = bench.device.ring(bench.map.cq(0));
      const chain = ring.take();
      if (chain === undefined) throw bench.broken('no completion buffer is in the ring', ['CQ-14']);
      // A driver may give more room than is needed; 49 bytes are a lie then too, for another reason.
      ring.write(chain, 0, completionBytes(SEND));
      ring.giveBack(chain, written);
      pollFinds(bench, sendCq, written > chain.writableBytes ? ['VQ-43', 'HOST-29'] : ['HOST-19', 'HOST-29']);
      expectFailed(bench);
    },
  }),
);

const historyCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'HOST/completion/twice',
    doc: 'A request completes twice: the first is handed out, the second is not, and the device is given up.',
    requirements: ['HOST-23', 'HOST-28', 'HOST-29'],
    ask: async bench => {
      const { sendCq } = await posted(bench);
      complete(bench, 0, SEND);
      complete(bench, 0, SEND);
      const into = emptyCompletions(4);
      let count = 0;
      try {
        count = bench.verbs.pollCq(sendCq, into, 4);
      } catch (error) {
        bench.expect(errnoOf(error) === 'EIO', `pollCq threw ${String(error)}, expected EIO`);
      }
      bench.expect(count <= 1, `the poll handed out ${count} completions of one request`);
      pollFinds(bench, sendCq);
      expectFailed(bench);
    },
  }),
  probeStarted({
    id: 'HOST/completion/twice-in-two-polls',
    doc: 'A request completes again after its completion was polled: the device is given up.',
    requirements: ['HOST-23', 'HOST-28', 'HOST-29'],
    ask: async bench => {
      const { sendCq } = await posted(bench);
      complete(bench, 0, SEND);
      bench.equal(poll(bench, sendCq).length, 1, 'completions polled');
      complete(bench, 0, SEND);
      pollFinds(bench, sendCq);
      expectFailed(bench);
    },
  }),
  probeStarted({
    id: 'HOST/completion/of-a-queue-that-is-not-its-own',
    doc: 'A completion of a queue pair comes on a completion queue that it does not use: the device is given up.',
    requirements: ['HOST-22', 'HOST-28', 'HOST-29'],
    ask: async bench => {
      await posted(bench);
      const other = await bench.do('createCq(2)', verbs => verbs.createCq(2));
      complete(bench, 2, SEND);
      pollFinds(bench, other);
      expectFailed(bench);
    },
  }),
  probeStarted({
    id: 'HOST/completion/of-a-destroyed-queue-pair',
    doc: 'A completion of a queue pair comes after the OK of its DESTROY_QP: the device is given up.',
    requirements: ['HOST-22', 'HOST-28', 'HOST-29', 'RST-11'],
    ask: async bench => {
      const { qp, sendCq } = await posted(bench);
      await bench.do('destroyQp()', verbs => verbs.destroyQp(qp));
      complete(bench, 0, SEND);
      pollFinds(bench, sendCq);
      expectFailed(bench);
    },
  }),
  probeStarted({
    id: 'HOST/completion/of-an-earlier-life',
    doc: 'A completion of a request from before a move to RESET comes behind the OK of the move: the device is given up.',
    requirements: ['HOST-23', 'HOST-28', 'HOST-29', 'RST-11'],
    ask: async bench => {
      const { qp, sendCq } = await posted(bench);
      await bench.do('modifyQp(to RESET)', verbs => verbs.modifyQp(qp, { qpState: QpState.RESET }));
      complete(bench, 0, SEND);
      pollFinds(bench, sendCq);
      expectFailed(bench);
    },
  }),
  ...(['destroy', 'reset'] as const).map(how =>
    probeStarted({
      id: `HOST/kept/requests-after-${how}`,
      doc: `The device keeps a request that was made available before the ${how} of its queue pair: it is given up, and the memory is not given back.`,
      requirements: ['HOST-26', 'HOST-28', 'HOST-30'],
      ask: async bench => {
        const { qp } = await makeObjects(bench);
        post(bench, qp, aSend(1));
        postReceive(bench, qp, aRecv(1));
        const held = bench.guest.inner.dmaBytesInUse;
        const call =
          how === 'destroy'
            ? bench.call('destroyQp()', verbs => verbs.destroyQp(qp))
            : bench.call('modifyQp(to RESET)', verbs => verbs.modifyQp(qp, { qpState: QpState.RESET }));
        await bench.run();
        bench.accept(bench.pending[0], new Uint8Array(0));
        await bench.run();
        bench.expect(
          call.state === 'rejected' && errnoOf(call.error) === 'EIO',
          `${call.what} ${describe(call)}, expected EIO`,
        );
        expectFailed(bench);
        bench.expect(
          bench.guest.inner.dmaBytesInUse >= held,
          'memory that the device still has was given back',
          ['HOST-30'],
        );
      },
    }),
  ),
  probeStarted({
    id: 'HOST/kept/buffers-after-destroy',
    doc: 'The device keeps completion buffers over the OK of DESTROY_CQ: it is given up, and the memory is not given back.',
    requirements: ['HOST-27', 'HOST-28', 'HOST-30'],
    ask: async bench => {
      const cq = await bench.do('createCq(4)', verbs => verbs.createCq(4));
      const held = bench.guest.inner.dmaBytesInUse;
      const call = bench.call('destroyCq()', verbs => verbs.destroyCq(cq));
      bench.accept(await bench.expectCommand(Command.DESTROY_CQ), new Uint8Array(0));
      await bench.run();
      bench.expect(
        call.state === 'rejected' && errnoOf(call.error) === 'EIO',
        `${call.what} ${describe(call)}, expected EIO`,
      );
      expectFailed(bench);
      bench.expect(
        bench.guest.inner.dmaBytesInUse >= held,
        'memory that the device still has was given back',
        ['HOST-30'],
      );
    },
  }),
];

export const brokenCompletionCases: readonly ConformanceCase[] = [
  ...lieCases,
  ...lengthCases,
  ...historyCases,
];

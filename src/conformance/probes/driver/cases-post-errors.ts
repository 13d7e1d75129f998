/** Chapter 10, section 10.2: what a post is refused for, with which errno, and that nothing of it is left; and what it is not refused for. */
import { QpState, QpType, SendFlag, WrOpcode } from '../../../abi/index.js';
import type { AddressHandle, QpCap, SendWorkRequest } from '../../../verbs/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import type { Bench } from './bench.js';
import type { BenchOptions } from './bench-options.js';
import { aRecv, aSend, makeAddress, makeObjects, stepTo, walkTo } from './objects.js';
import { probeStarted } from './probe-case.js';
import { post, postReceive, takeReceives, takeSends, throws, wrIdOf } from './traffic.js';

interface Cause {
  readonly what: string;
  readonly doc: string;
  readonly type?: QpType;
  readonly options?: BenchOptions;
  readonly cap?: Partial<QpCap>;
  readonly refused: readonly ((ah: AddressHandle | undefined) => SendWorkRequest)[];
}

const element = { addr: 1, length: 1, lkey: 1 };
const target = { remoteQpn: 2, remoteQkey: 3 };

const causes: readonly Cause[] = [
  {
    what: 'opcode-unknown',
    doc: 'An opcode beyond the table',
    refused: [5, 6, 127, 255].map(opcode => () => aSendOf(opcode)),
  },
  {
    what: 'opcode-of-another-service-uc',
    doc: 'An RDMA_READ on UC',
    type: QpType.UC,
    refused: [() => aSend(1, { opcode: WrOpcode.RDMA_READ })],
  },
  {
    what: 'opcode-of-another-service-ud',
    doc: 'A write or a read on UD',
    type: QpType.UD,
    refused: [WrOpcode.RDMA_WRITE, WrOpcode.RDMA_WRITE_WITH_IMM, WrOpcode.RDMA_READ].map(
      opcode => ah => aSend(1, { opcode, ah, ...target }),
    ),
  },
  {
    what: 'flag-unknown',
    doc: 'A flag beyond the table',
    refused: [16, 32, 128, 2 | 64].map(sendFlags => () => aSend(1, { sendFlags })),
  },
  {
    what: 'inline-read',
    doc: 'INLINE with an RDMA_READ',
    refused: [
      () =>
        aSend(1, {
          opcode: WrOpcode.RDMA_READ,
          sendFlags: SendFlag.INLINE,
          sges: [],
          inlineData: new Uint8Array(4),
        }),
    ],
  },
  {
    what: 'too-many-elements',
    doc: 'More gather elements than the capacity',
    refused: [4, 9].map(count => () => aSend(1, { sges: Array.from({ length: count }, () => element) })),
  },
  {
    what: 'too-many-elements-of-a-read',
    doc: 'More scatter elements of an RDMA_READ than max_sge_rd',
    refused: [() => aSend(1, { opcode: WrOpcode.RDMA_READ, sges: [element, element, element] })],
  },
  {
    what: 'datagram-without-handle',
    doc: 'A datagram without an address handle',
    type: QpType.UD,
    refused: [() => aSend(1, target)],
  },
  {
    what: 'inline-too-long',
    doc: 'More inline bytes than the capacity',
    refused: [65, 512, 600].map(
      length => () => aSend(1, { sendFlags: SendFlag.INLINE, sges: [], inlineData: new Uint8Array(length) }),
    ),
  },
  {
    what: 'inline-where-none-is',
    doc: 'Inline data on a queue pair that has no room for any',
    cap: { maxInlineData: 0 },
    refused: [() => aSend(1, { sendFlags: SendFlag.INLINE, sges: [], inlineData: new Uint8Array(1) })],
  },
  {
    what: 'datagram-too-long',
    doc: 'A datagram longer than the active MTU',
    type: QpType.UD,
    refused: [
      ah => aSend(1, { ...target, ah, sges: [{ ...element, length: 1025 }] }),
      ah => aSend(1, { ...target, ah, sges: [{ ...element, length: 1024 }, element] }),
    ],
  },
  {
    what: 'datagram-too-long-inline',
    doc: 'Inline data of a datagram that is longer than the active MTU',
    type: QpType.UD,
    options: { mtu: 400 },
    cap: { maxInlineData: 512 },
    refused: [
      ah =>
        aSend(1, { ...target, ah, sendFlags: SendFlag.INLINE, sges: [], inlineData: new Uint8Array(257) }),
    ],
  },
];

/** A send with an opcode that need not be one. */
function aSendOf(opcode: number): SendWorkRequest {
  return Object.assign(aSend(1), { opcode });
}

const causeCases = causes.map(({ what, doc, type = QpType.RC, options, cap, refused }) =>
  probeStarted({
    id: `ERR/post-refused/${what}`,
    doc: `${doc} is refused with EINVAL, and nothing of it is left: ring, capacity and the posts around it are as without it.`,
    requirements: ['ERR-08', 'ERR-09'],
    ...(options === undefined ? {} : { options }),
    ask: async bench => {
      const { qp, qpn, pd } = await makeObjects(bench, { type, ...(cap === undefined ? {} : { cap }) });
      const ah = type === QpType.UD ? await makeAddress(bench, pd) : undefined;
      const good = (wrId: number) => aSend(wrId, ah === undefined ? {} : { ah, ...target });
      const ring = bench.device.ring(bench.map.sq(qpn));
      post(bench, qp, good(10));
      const [before, kicks] = [ring.availIdx, bench.kicks(ring.index)];
      for (const request of refused)
        throws(bench, what, 'EINVAL', () => bench.verbs.postSend(qp, request(ah)), ['ERR-08']);
      bench.equal(ring.availIdx, before, 'the available index after refused posts', ['ERR-09']);
      bench.equal(bench.kicks(ring.index), kicks, 'kicks after refused posts', ['ERR-09']);
      for (const wrId of [11, 12, 13]) post(bench, qp, good(wrId), ['ERR-09', 'ERR-10']);
      bench.equal(takeSends(bench, qpn).map(wrIdOf).join(), '10,11,12,13', 'wr_ids in the ring', ['ERR-09']);
    },
  }),
);

const otherCases: readonly ConformanceCase[] = [
  probeStarted({
    id: 'ERR/post-refused/read-without-depth',
    doc: 'An RDMA_READ on a queue pair whose max_rd_atomic is 0 is refused with EINVAL; other sends are not.',
    requirements: ['ERR-08', 'ERR-10'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench, { state: QpState.RTR });
      await bench.do('modifyQp(to RTS)', verbs =>
        verbs.modifyQp(qp, { ...stepTo(QpType.RC, QpState.RTS), maxRdAtomic: 0 }),
      );
      throws(bench, 'a read', 'EINVAL', () =>
        bench.verbs.postSend(qp, aSend(1, { opcode: WrOpcode.RDMA_READ })),
      );
      post(bench, qp, aSend(2, { opcode: WrOpcode.RDMA_WRITE }));
      bench.equal(takeSends(bench, qpn).map(wrIdOf).join(), '2', 'wr_ids in the ring', ['ERR-09']);
    },
  }),
  probeStarted({
    id: 'ERR/post-refused/receive-too-many-elements',
    doc: 'More scatter elements than the capacity are refused with EINVAL, and nothing of the receive is left.',
    requirements: ['ERR-08', 'ERR-09'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      throws(bench, 'a receive with 3 elements', 'EINVAL', () =>
        bench.verbs.postRecv(qp, aRecv(1, { sges: [element, element, element] })),
      );
      postReceive(bench, qp, aRecv(2, { sges: [element, element] }));
      bench.equal(takeReceives(bench, qpn).map(wrIdOf).join(), '2', 'wr_ids in the ring', ['ERR-09']);
    },
  }),
  probeStarted({
    id: 'ERR/post-refused/state-before-all-else',
    doc: 'Where the state and more is wrong with a post the errno is EINVAL, also when the queue has no slot at all.',
    requirements: ['ERR-08'],
    ask: async bench => {
      const { qp } = await makeObjects(bench, { state: QpState.INIT, cap: { maxSendWr: 0, maxRecvWr: 0 } });
      throws(bench, 'a send in INIT on a queue of no slots', 'EINVAL', () =>
        bench.verbs.postSend(qp, aSend(1)),
      );
      throws(bench, 'a receive in INIT on a queue of no slots', 'ENOMEM', () =>
        bench.verbs.postRecv(qp, aRecv(1)),
      );
      await bench.do('modifyQp(to ERR)', verbs => verbs.modifyQp(qp, { qpState: QpState.ERR }));
      throws(bench, 'a send on a queue of no slots', 'ENOMEM', () => bench.verbs.postSend(qp, aSend(1)));
    },
  }),
  probeStarted({
    id: 'ERR/post-refused/full-queue-last',
    doc: 'A request that is wrong and finds no room is EINVAL: a full queue is looked at last.',
    requirements: ['ERR-08'],
    ask: async bench => {
      const { qp } = await makeObjects(bench, { cap: { maxSendWr: 1, maxRecvWr: 1 } });
      post(bench, qp, aSend(1));
      postReceive(bench, qp, aRecv(1));
      throws(bench, 'a send with a bad flag on a full queue', 'EINVAL', () =>
        bench.verbs.postSend(qp, aSend(2, { sendFlags: 64 })),
      );
      throws(bench, 'a send on a full queue', 'ENOMEM', () => bench.verbs.postSend(qp, aSend(2)));
      const long = aRecv(2, { sges: [element, element, element] });
      throws(bench, 'a receive with 3 elements on a full queue', 'EINVAL', () =>
        bench.verbs.postRecv(qp, long),
      );
      throws(bench, 'a receive on a full queue', 'ENOMEM', () => bench.verbs.postRecv(qp, aRecv(2)));
    },
  }),
  probeStarted({
    id: 'ERR/post-accepted/what-the-device-judges',
    doc: 'Keys, addresses, lengths and remote places are not looked at: any that fit their fields are accepted.',
    requirements: ['ERR-10'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      const wild = { addr: 2 ** 53 - 1, length: 0xffff_ffff, lkey: 0 };
      const requests = [
        aSend(1, { sges: [wild, wild, wild] }),
        aSend(2, { opcode: WrOpcode.RDMA_WRITE, remoteAddr: 0, rkey: 0, sges: [] }),
        aSend(3, { opcode: WrOpcode.RDMA_READ, remoteAddr: 2 ** 53 - 1, rkey: 0xffff_ffff, sges: [wild] }),
        aSend(4, {
          opcode: WrOpcode.RDMA_WRITE_WITH_IMM,
          immData: 0xffff_ffff,
          sges: [{ ...wild, length: 0 }],
        }),
      ];
      for (const request of requests) post(bench, qp, request);
      bench.equal(takeSends(bench, qpn).map(wrIdOf).join(), '1,2,3,4', 'wr_ids in the ring');
      for (const wrId of [1, 2]) postReceive(bench, qp, aRecv(wrId, { sges: [wild, wild] }));
      bench.equal(takeReceives(bench, qpn).length, 2, 'receives in the ring');
    },
  }),
  probeStarted({
    id: 'ERR/post-accepted/longest-datagram',
    doc: 'A datagram of exactly the active MTU is accepted, in elements or inline.',
    requirements: ['ERR-10', 'CONF-13'],
    options: [{ mtu: 352 }, { mtu: 608 }, { mtu: 1500 }, { mtu: 9000 }],
    ask: longestDatagram,
  }),
  probeStarted({
    id: 'ERR/post-accepted/same-number-again',
    doc: "wr_id is the program's own: the same one may be posted again and again.",
    requirements: ['ERR-10'],
    ask: async bench => {
      const { qp, qpn } = await makeObjects(bench);
      for (let i = 0; i < 4; i++) post(bench, qp, aSend(7));
      bench.equal(takeSends(bench, qpn).map(wrIdOf).join(), '7,7,7,7', 'wr_ids in the ring');
    },
  }),
  probeStarted({
    id: 'ERR/post-accepted/gsi-as-datagrams',
    doc: 'The GSI queue pair takes datagrams as a UD one does.',
    requirements: ['ERR-10', 'ERR-08'],
    ask: async bench => {
      const { qp, pd, qpn } = await makeObjects(bench, { type: QpType.GSI, state: QpState.RESET });
      await walkTo(bench, qp, QpType.GSI, QpState.RTS);
      const ah = await makeAddress(bench, pd);
      post(bench, qp, aSend(1, { ah, ...target }));
      throws(
        bench,
        'a write on GSI',
        'EINVAL',
        () => bench.verbs.postSend(qp, aSend(2, { opcode: WrOpcode.RDMA_WRITE, ah })),
        ['ERR-08'],
      );
      bench.equal(takeSends(bench, qpn).length, 1, 'sends in the ring');
    },
  }),
];

async function longestDatagram(bench: Bench): Promise<void> {
  const { qp, qpn, pd } = await makeObjects(bench, { type: QpType.UD, cap: { maxInlineData: 256 } });
  const ah = await makeAddress(bench, pd);
  const { activeMtu } = await bench.do('queryPort()', verbs => verbs.queryPort());
  const length = 128 << activeMtu;
  post(bench, qp, aSend(1, { ah, ...target, sges: [{ ...element, length }] }));
  post(bench, qp, aSend(2, { ah, ...target, sges: [element, { ...element, length: length - 2 }, element] }));
  post(
    bench,
    qp,
    aSend(3, { ah, ...target, sendFlags: SendFlag.INLINE, sges: [], inlineData: new Uint8Array(256) }),
  );
  bench.equal(takeSends(bench, qpn).length, 3, 'sends in the ring');
  throws(
    bench,
    'a datagram of one byte more',
    'EINVAL',
    () => bench.verbs.postSend(qp, aSend(4, { ah, ...target, sges: [{ ...element, length: length + 1 }] })),
    ['ERR-08'],
  );
}

export const postErrorCases: readonly ConformanceCase[] = [...causeCases, ...otherCases];

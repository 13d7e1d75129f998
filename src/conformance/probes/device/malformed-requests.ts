/** Requests that make no sense (7.1, 7.2): each fails at its turn, with the requests before it done and no packet of its own. */
import { QpAttrMask, QpState, QpType, SendFlag, WrOpcode } from '../../../abi/index.js';
import {
  addressVector,
  createAh,
  destroyAh,
  gidOf,
  modifyQp,
  queryDevice,
  recvRequest,
  sendRequest,
} from './messages.js';
import type { SendFields } from './messages.js';
import { numberOfNeighbour, unknownNumber } from './numbers.js';
import { fateCase, status } from './outcomes.js';
import type { Fate } from './outcomes.js';
import { probe } from './probe-case.js';
import type { Part } from './pen.js';
import { QKEY, connect, exchange, handleFor, lonely, pairOf, smallCap } from './site.js';
import type { Pair, Side } from './site.js';
import { queuePairIn } from './queue-pair-states.js';

const { SUCCESS, LOC_QP_OP_ERR, WR_FLUSH_ERR, REM_OP_ERR } = status;
const inline = Uint8Array.of(1, 2, 3, 4);

type Malformed = readonly [
  slug: string,
  doc: string,
  requirements: readonly string[],
  make: (scene: Pair) => SendFields | Uint8Array,
  type?: number,
  cap?: Partial<typeof smallCap>,
];

const element = ({ a }: Pair) => ({ addr: a.region.address, length: 4, lkey: a.region.lkey });
const datagram = (scene: Pair, ah: number): SendFields => ({
  inline,
  ud: { remote_qpn: scene.b.qpn, remote_qkey: QKEY, ah },
});

const sends: readonly Malformed[] = [
  [
    'fixed-part-cut-short',
    'whose fixed part lacks a byte',
    ['DATA-12'],
    () => sendRequest({ wrId: 2 }).subarray(0, 575),
  ],
  [
    'elements-missing',
    'that announces more elements than it has',
    ['DATA-12'],
    scene => ({ sges: [element(scene)], numSge: 2 }),
  ],
  [
    'last-element-cut-short',
    'whose last element lacks a byte',
    ['DATA-12'],
    scene => sendRequest({ wrId: 2, sges: [element(scene)] }).subarray(0, -1),
  ],
  ['opcode-5', 'with the first opcode behind the table', ['DATA-13'], () => ({ opcode: 5 })],
  ['opcode-255', 'with the opcode 255', ['DATA-13'], () => ({ opcode: 255 })],
  [
    'read-on-uc',
    'that is an RDMA_READ, on UC',
    ['DATA-13'],
    () => ({ opcode: WrOpcode.RDMA_READ }),
    QpType.UC,
  ],
  [
    'write-on-ud',
    'that is an RDMA_WRITE, on UD',
    ['DATA-13'],
    scene => ({ ...datagram(scene, handleFor(scene.a, scene.b.gid)), opcode: WrOpcode.RDMA_WRITE }),
    QpType.UD,
  ],
  [
    'too-many-elements',
    'with one element more than max_send_sge',
    ['DATA-14'],
    scene => ({ sges: Array.from({ length: smallCap.max_send_sge + 1 }, () => element(scene)) }),
  ],
  [
    'many-more-elements',
    'with 16 elements, all of them there',
    ['DATA-14'],
    scene => ({ sges: Array.from({ length: 16 }, () => element(scene)) }),
  ],
  ['elements-of-32-bits', 'with 2^32 - 1 elements', ['DATA-14', 'DATA-12'], () => ({ numSge: 0xffff_ffff })],
  [
    'too-much-inline',
    'with one inline byte more than max_inline_data',
    ['DATA-15'],
    () => ({ inline: new Uint8Array(smallCap.max_inline_data + 1) }),
  ],
  ['inline-of-16-bits', 'with 65535 inline bytes', ['DATA-15'], () => ({ inline, numSge: 0xffff })],
  ...[0x10, 0x80].map((flag): Malformed => [
    `unknown-flag-${flag.toString(16)}`,
    `with the flag 0x${flag.toString(16)}`,
    ['DATA-16'],
    () => ({ flags: SendFlag.SIGNALED | flag }),
  ]),
  [
    'inline-read',
    'that is an RDMA_READ with INLINE',
    ['DATA-17'],
    ({ b }) => ({
      opcode: WrOpcode.RDMA_READ,
      inline,
      rdma: { remote_addr: b.region.address, rkey: b.region.rkey },
    }),
  ],
  [
    'read-with-too-many-elements',
    'that is an RDMA_READ with one element more than max_sge_rd',
    ['DATA-83'],
    scene => {
      const count = scene.a.machine.must(queryDevice).max_sge_rd + 1;
      const rdma = { remote_addr: scene.b.region.address, rkey: scene.b.region.rkey };
      return { opcode: WrOpcode.RDMA_READ, sges: Array.from({ length: count }, () => element(scene)), rdma };
    },
    QpType.RC,
    { max_send_sge: 4 },
  ],
  [
    'handle-unknown',
    'that is a datagram with a handle that does not exist',
    ['DATA-18'],
    scene => datagram(scene, unknownNumber(scene.a.machine, 'ah')),
    QpType.UD,
  ],
  [
    'handle-destroyed',
    'that is a datagram with a destroyed handle',
    ['RST-19', 'DATA-18'],
    scene => {
      const ah = handleFor(scene.a, scene.b.gid);
      scene.a.machine.must(destroyAh, { pdn: scene.a.pdn, ah });
      return datagram(scene, ah);
    },
    QpType.UD,
  ],
  [
    'handle-of-another-domain',
    'that is a datagram with a handle of another protection domain',
    ['ISO-22', 'DATA-18'],
    scene => {
      const { otherPdn, machine } = scene.a;
      return datagram(
        scene,
        machine.must(createAh, { pdn: otherPdn, ah_attr: addressVector(scene.b.gid) }).ah,
      );
    },
    QpType.UD,
  ],
  [
    'handle-of-another-machine',
    "that is a datagram with another machine's handle",
    ['ISO-05', 'DATA-18'],
    scene =>
      datagram(
        scene,
        numberOfNeighbour(scene, 'ah', () => handleFor(scene.b, scene.a.gid)),
      ),
    QpType.UD,
  ],
];

/** A good send, the bad one, and one behind it. */
const malformedSends = sends.map(([slug, doc, requirements, make, type = QpType.RC, cap = {}]): Fate => {
  const connected = type !== QpType.UD;
  const rest = type === QpType.RC ? QpState.ERR : QpState.SQE;
  return {
    under: 'DATA/malformed-send',
    slug,
    doc: `A send ${doc} completes with LOC_QP_OP_ERR at its turn: the one before it is done, the one behind it flushed.`,
    requirements: [
      ...requirements,
      'DATA-20',
      'DATA-21',
      'HOST-04',
      'QP-47',
      type === QpType.RC ? 'QP-45' : 'QP-59',
    ],
    options: { type, cap },
    post: scene => {
      const first = connected ? { inline } : datagram(scene, handleFor(scene.a, scene.b.gid));
      const bad = make(scene);
      return {
        sends: [first, bad, { inline, ...(connected ? {} : first) }],
        receives: [0, 1, 2].map(() => [
          { addr: scene.b.region.address, length: 64, lkey: scene.b.region.lkey },
        ]),
      };
    },
    a: [
      [1, SUCCESS],
      [2, LOC_QP_OP_ERR],
      [3, WR_FLUSH_ERR],
    ],
    b: [[100, SUCCESS]],
    states: [rest, QpState.RTS],
    packets: type === QpType.RC ? 2 : 1,
    verify: ({ a, bench }) => {
      const lengths = a.machine.returned(a.machine.queues.sq(a.qpn)).map(({ length }) => length);
      bench.same(['DATA-28', 'VQ-38'], 'used lengths of the three chains', lengths, [0, 0, 0]);
    },
  };
});

const malformedReceives = (
  [
    ['elements-missing', 'that announces more elements than it has', 2, 1],
    [
      'too-many-elements',
      'with one element more than max_recv_sge',
      smallCap.max_recv_sge + 1,
      smallCap.max_recv_sge + 1,
    ],
    ['elements-of-32-bits', 'with 2^32 - 1 elements', 0xffff_ffff, 1],
  ] as const
).map(([slug, doc, announced, present]) =>
  probe(
    {
      id: `DATA/malformed-receive/${slug}`,
      doc: `A receive ${doc} completes with LOC_QP_OP_ERR when a message comes to it, and not before.`,
      requirements: ['DATA-24', 'DATA-25', 'HOST-04', 'ERR-22'],
    },
    context => {
      const scene = pairOf(context);
      const { a, b, bench } = scene;
      const { address, lkey } = b.region;
      const bytes = new Uint8Array(24 + 16 * present);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, 55, true);
      view.setUint32(8, announced, true);
      for (let i = 0; i < present; i++) {
        view.setBigUint64(24 + 16 * i, BigInt(address), true);
        view.setUint32(32 + 16 * i, 16, true);
        view.setUint32(36 + 16 * i, lkey, true);
      }
      const chain = { address: b.machine.place(bytes), length: bytes.length };
      b.machine.offer(b.machine.queues.rq(b.qpn), [chain]);
      bench.run();
      bench.same(['DATA-25'], 'completions before a message came', b.machine.poll(b.cqn).length, 0);
      a.machine.postSend(a.qpn, { wrId: 1, inline });
      bench.run();
      const seen = [a, b].map(side =>
        side.machine.poll(side.cqn).map(({ wr_id, status: code }) => [wr_id, code]),
      );
      bench.same(['DATA-24', 'ERR-17'], 'completions of both sides', seen, [
        [[1, REM_OP_ERR]],
        [[55, LOC_QP_OP_ERR]],
      ]);
      return bench;
    },
  ),
);

const single = [
  probe(
    {
      id: 'DATA/malformed-send/every-length',
      doc: 'A send request that ends anywhere in its fixed part fails with LOC_QP_OP_ERR; bytes of its wr_id that are missing count as zero.',
      requirements: ['DATA-12', 'HOST-04'],
    },
    context => {
      const { bench, a } = lonely(context, { type: QpType.UC });
      const whole = sendRequest({ inline });
      whole.fill(0x11, 0, 8);
      for (const length of [1, 4, 7, 8, 9, 16, 48, 560, 564, 575]) {
        connectAgain(a);
        a.machine.postSend(a.qpn, whole.slice(0, length));
        bench.run();
        const [completion] = a.machine.poll(a.cqn);
        const wrId = [...(completion?.bytes.subarray(0, 8) ?? [])];
        const expected = Array.from({ length: 8 }, (_, i) => (i < length ? 0x11 : 0));
        bench.same(
          ['DATA-12'],
          `status and wr_id for ${length} bytes`,
          [completion?.status, ...wrId],
          [LOC_QP_OP_ERR, ...expected],
        );
      }
      return bench;
    },
  ),
  probe(
    {
      id: 'DATA/malformed-send/other-queue-pairs',
      doc: 'A request that cannot be understood leaves the other queue pairs of the machine as they are.',
      requirements: ['HOST-04'],
    },
    context => {
      const scene = pairOf(context);
      const { a, bench } = scene;
      const other = queuePairIn(bench, a, QpType.RC, QpState.RTS);
      a.machine.postSend(other, { opcode: 200, wrId: 9 });
      bench.run();
      const codes = a.machine.poll(a.cqn).map(({ qp_num, status: code }) => [qp_num, code]);
      bench.same(['HOST-04'], 'the completion', codes, [[other, LOC_QP_OP_ERR]]);
      exchange(scene, ['HOST-04']);
      return bench;
    },
  ),
  probe(
    {
      id: 'DATA/request/bytes-behind',
      doc: 'Readable bytes behind what a request says that it holds are ignored, and reserved bytes too.',
      requirements: ['DATA-05', 'OVR-07', 'DATA-07'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const sound = sendRequest({ wrId: 1, inline });
      const bytes = new Uint8Array(sound.length + 40).fill(0xff);
      bytes.set(sound);
      // Padding, the overlay that a send does not use, unused inline bytes and reserved words.
      for (const [from, to] of [
        [10, 12],
        [16, 48],
        [52, 560],
        [562, 576],
      ])
        bytes.fill(0xff, from, to);
      b.machine.postRecv(b.qpn, 2, [{ addr: b.region.address, length: 8, lkey: b.region.lkey }]);
      a.machine.postSend(a.qpn, bytes);
      bench.run();
      const seen = [a, b].map(side =>
        side.machine.poll(side.cqn).map(({ wr_id, status: code, byte_len }) => [wr_id, code, byte_len]),
      );
      bench.same(
        ['DATA-05', 'OVR-07', 'DATA-07'],
        'completions',
        [seen[0][0].slice(0, 2), seen[1]],
        [[1, 0], [[2, 0, 4]]],
      );
      bench.same(
        ['DATA-05'],
        'the bytes that arrived',
        [...b.machine.memory.copy(b.region.address, 4)],
        [...inline],
      );
      return bench;
    },
  ),
  probe(
    {
      id: 'DATA/request/changed-while-read',
      doc: 'Send and receive requests that change as soon as they are read are carried out as they were.',
      requirements: ['HOST-02'],
    },
    context => {
      const { a, b, bench } = pairOf(context);
      const requests = new Map<Side, Part>();
      for (const side of [a, b]) {
        const { memory } = side.machine;
        memory.watch = {
          read: (address, length) => {
            const request = requests.get(side) ?? { address: 0, length: 0 };
            const end = Math.min(address + length, request.address + request.length);
            for (let i = Math.max(address, request.address); i < end; i++) memory.bytes[memory.at(i)] ^= 0xff;
          },
        };
      }
      const post = (side: Side, index: number, bytes: Uint8Array): void => {
        const part = { address: side.machine.place(bytes), length: bytes.length };
        requests.set(side, part);
        side.machine.offer(index, [part]);
        bench.run();
      };
      const element = (side: Side, length: number) => ({
        addr: side.region.address,
        length,
        lkey: side.region.lkey,
      });
      post(b, b.machine.queues.rq(b.qpn), recvRequest(2, [element(b, 8)]));
      post(a, a.machine.queues.sq(a.qpn), sendRequest({ wrId: 1, sges: [element(a, 6)] }));
      const seen = [a, b].map(side =>
        side.machine.poll(side.cqn).map(({ wr_id, status: code }) => [wr_id, code]),
      );
      bench.same(['HOST-02'], 'completions', seen, [[[1, SUCCESS]], [[2, SUCCESS]]]);
      return bench;
    },
  ),
];

/** Leads the queue pair through RESET to RTS again. */
function connectAgain(a: Side): void {
  a.machine.must(modifyQp, { qpn: a.qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.RESET }, ['QP-44']);
  connect(a, { gid: gidOf(77), qpn: 2 });
}

export const malformedRequestCases = [...malformedSends.map(fateCase), ...malformedReceives, ...single];

/** Rights, receives and lengths (chapters 9 and 10): what becomes of a request that meets no right, no room or no answer. */
import { AccessFlag, QpAttrMask, QpState, QpType, WrOpcode } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { modifyQp, queryPort } from './messages.js';
import type { SendFields } from './messages.js';
import { fateCase, status } from './outcomes.js';
import type { Fate } from './outcomes.js';
import { handleFor, QKEY, register } from './site.js';
import type { Pair } from './site.js';
import { mine, sound, theirs, region } from './access-places.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const { SUCCESS, LOC_LEN_ERR, LOC_PROT_ERR, REM_INV_REQ_ERR, REM_ACCESS_ERR, REM_OP_ERR } = status;
const { RNR_RETRY_EXC_ERR, RETRY_EXC_ERR, LOC_ACCESS_ERR } = status;
const { ERR, RTS } = QpState;
const both = [ERR, RTS] as const;

const operations = [
  ['write', WrOpcode.RDMA_WRITE, 'An RDMA_WRITE'],
  ['read', WrOpcode.RDMA_READ, 'An RDMA_READ'],
] as const;

/** The queue pair's own rights, changed on the responder. */
const allow = ({ b }: Pair, qp_access_flags: number): void => {
  const attr_mask = QpAttrMask.ACCESS_FLAGS;
  b.machine.must(modifyQp, { qpn: b.qpn, attr_mask, qp_access_flags }, ['QP-32']);
};

const rights: readonly Fate[] = operations.flatMap(([operation, opcode, name]) => {
  const right = operation === 'write' ? REMOTE_WRITE : REMOTE_READ;
  const other = LOCAL_WRITE | (operation === 'write' ? REMOTE_READ : REMOTE_WRITE);
  return [
    {
      under: `ERR/remote-${operation}`,
      slug: 'right-of-the-queue-pair-missing',
      doc: `${name} that the responder's queue pair does not enable completes with REM_INV_REQ_ERR.`,
      requirements: ['ERR-14', 'QP-53'],
      post: scene => {
        allow(scene, LOCAL_WRITE | ((REMOTE_READ | REMOTE_WRITE) ^ right));
        return { sends: [{ opcode, sges: [mine(scene)], rdma: sound(scene) }] };
      },
      a: [[1, REM_INV_REQ_ERR]],
      states: [ERR, ERR],
    },
    {
      under: `ERR/remote-${operation}`,
      slug: 'right-of-the-region-missing',
      doc: `${name} that the region does not permit completes with REM_ACCESS_ERR, though another region on the same memory would.`,
      requirements: ['ERR-14', operation === 'write' ? 'MEM-16' : 'MEM-17', 'MEM-07', 'ISO-07'],
      post: scene => {
        const { address, rkey } = region(scene, other);
        return { sends: [{ opcode, sges: [mine(scene)], rdma: { remote_addr: address, rkey } }] };
      },
      a: [[1, REM_ACCESS_ERR]],
      states: [ERR, ERR],
    },
    {
      under: `MEM/remote-${operation}`,
      slug: 'whole-region',
      doc: `${name} of a whole region, its first and last byte included, succeeds when region and queue pair permit it.`,
      requirements: ['MEM-18', 'MEM-20', 'MEM-19', 'MEM-05'],
      post: scene => {
        const { machine, pdn, region: whole } = scene.b;
        const odd = register(machine, pdn, whole.address + 4001, 201, LOCAL_WRITE | right);
        allow(scene, right);
        const sges = [{ addr: scene.a.region.address, length: 201, lkey: scene.a.region.lkey }];
        return { sends: [{ opcode, sges, rdma: { remote_addr: odd.address, rkey: odd.rkey } }] };
      },
      a: [[1, SUCCESS]],
      states: [RTS, RTS],
    },
  ] satisfies Fate[];
});

const receives: readonly Fate[] = [
  {
    under: 'ERR/receive',
    slug: 'smaller-than-its-message',
    doc: 'An RC receive that is one byte too small completes with LOC_LEN_ERR, and the send with REM_INV_REQ_ERR.',
    requirements: ['ERR-16', 'QP-53'],
    post: scene => ({ sends: [{ sges: [mine(scene)] }], receives: [[{ ...theirs(scene), length: 15 }]] }),
    a: [[1, REM_INV_REQ_ERR]],
    b: [[100, LOC_LEN_ERR]],
    states: [ERR, ERR],
  },
  {
    under: 'ERR/receive',
    slug: 'no-right-to-write',
    doc: 'A receive into a region without LOCAL_WRITE completes with LOC_PROT_ERR, and the send with REM_OP_ERR.',
    requirements: ['ERR-17', 'MEM-15'],
    post: scene => {
      const { address, lkey } = region(scene, REMOTE_READ);
      return { sends: [{ sges: [mine(scene)] }], receives: [[{ addr: address, length: 16, lkey }]] };
    },
    a: [[1, REM_OP_ERR]],
    b: [[100, LOC_PROT_ERR]],
    states: [ERR, ERR],
  },
  {
    under: 'ERR/receive',
    slug: 'bad-key',
    doc: 'A receive with a key that does not exist completes with LOC_PROT_ERR, and the send with REM_OP_ERR.',
    requirements: ['ERR-17', 'MEM-11'],
    post: scene => ({
      sends: [{ sges: [mine(scene)] }],
      receives: [[{ ...theirs(scene), lkey: 0x7777_7777 }]],
    }),
    a: [[1, REM_OP_ERR]],
    b: [[100, LOC_PROT_ERR]],
    states: [ERR, ERR],
  },
  {
    under: 'ERR/receive',
    slug: 'bad-element-behind-the-message',
    doc: 'A receive whose bad element lies behind the end of the message is filled.',
    requirements: ['DATA-38', 'DATA-42', 'ERR-23'],
    post: scene => ({
      sends: [{ sges: [mine(scene)] }],
      receives: [[theirs(scene), { addr: 1, length: 99, lkey: 0x7777_7777 }]],
    }),
    a: [[1, SUCCESS]],
    b: [[100, SUCCESS]],
    states: [RTS, RTS],
  },
  {
    under: 'ERR/receive',
    slug: 'element-partly-outside',
    doc: 'A receive element that is not wholly in its region fails as a whole, though the message needs only a part that is.',
    requirements: ['MEM-22', 'ERR-17'],
    post: scene => ({
      sends: [{ sges: [mine(scene)] }],
      receives: [[{ ...theirs(scene), length: scene.b.region.length + 1 }]],
    }),
    a: [[1, REM_OP_ERR]],
    b: [[100, LOC_PROT_ERR]],
  },
  {
    under: 'ERR/receive',
    slug: 'none-posted',
    doc: 'An RC send that never meets a receive completes with RNR_RETRY_EXC_ERR; the responder stays as it is.',
    requirements: ['ERR-18', 'DATA-72'],
    post: scene => ({ sends: [{ sges: [mine(scene)] }] }),
    a: [[1, RNR_RETRY_EXC_ERR]],
    states: both,
  },
  {
    under: 'ERR/receive',
    slug: 'taken-by-a-write-that-fails',
    doc: 'A receive taken by an RDMA_WRITE_WITH_IMM of one packet without the right completes with LOC_ACCESS_ERR.',
    requirements: ['DATA-82', 'ERR-15'],
    post: scene => ({
      sends: [
        { opcode: WrOpcode.RDMA_WRITE_WITH_IMM, sges: [mine(scene)], rdma: { ...sound(scene), rkey: 0 } },
      ],
      receives: [[theirs(scene)]],
    }),
    a: [[1, REM_ACCESS_ERR]],
    b: [[100, LOC_ACCESS_ERR]],
    states: [ERR, ERR],
  },
  ...([QpType.UC, QpType.UD] as const).map((type): Fate => ({
    under: 'ERR/receive',
    slug: type === QpType.UC ? 'too-small-on-uc' : 'too-small-on-ud',
    doc: `A ${type === QpType.UC ? 'UC' : 'UD'} message that does not fit its receive is dropped, and the receive serves the next.`,
    requirements: [
      type === QpType.UC ? 'ERR-21' : 'ERR-20',
      ...(type === QpType.UD ? ['DATA-49', 'DATA-53'] : ['DATA-56']),
    ],
    options: { type },
    post: scene => {
      const room = type === QpType.UD ? 48 : 8;
      const ud =
        type === QpType.UD
          ? { ud: { remote_qpn: scene.b.qpn, remote_qkey: QKEY, ah: handleFor(scene.a, scene.b.gid) } }
          : {};
      const send = (length: number): SendFields => ({ inline: new Uint8Array(length).fill(length), ...ud });
      return { sends: [send(9), send(8)], receives: [[{ ...theirs(scene), length: room }]] };
    },
    a: [
      [1, SUCCESS],
      [2, SUCCESS],
    ],
    b: [[100, SUCCESS]],
    states: [RTS, RTS],
    verify: ({ b, bench }) => {
      const at = b.region.address + (type === QpType.UD ? 40 : 0);
      bench.same(
        ['ERR-20', 'ERR-21'],
        'the bytes received',
        [...b.machine.memory.copy(at, 8)],
        Array.from({ length: 8 }, () => 8),
      );
    },
  })),
];

const lengths: readonly Fate[] = [
  {
    under: 'ERR/length',
    slug: 'above-max-msg-sz',
    doc: 'A message of one byte more than max_msg_sz completes with LOC_LEN_ERR and reaches nobody.',
    requirements: ['ERR-13', 'DATA-45'],
    post: ({ a }) => {
      const { max_msg_sz: most } = a.machine.must(queryPort);
      const piece = { addr: a.region.address, length: a.region.length, lkey: a.region.lkey };
      const whole = Math.floor(most / a.region.length);
      if (whole > 2) return { sends: [{ sges: [{ ...piece, length: most + 1 }] }] };
      return {
        sends: [
          {
            sges: [
              ...Array.from({ length: whole }, () => piece),
              { ...piece, length: (most % a.region.length) + 1 },
            ],
          },
        ],
      };
    },
    a: [[1, LOC_LEN_ERR]],
    states: both,
    packets: 0,
  },
  {
    under: 'ERR/length',
    slug: 'datagram-above-the-mtu',
    doc: 'A datagram of one byte more than the active MTU completes with LOC_LEN_ERR.',
    requirements: ['ERR-13', 'QP-59'],
    options: { type: QpType.UD },
    post: scene => ({
      sends: [
        {
          sges: [{ ...mine(scene), length: (128 << scene.a.machine.activeMtu) + 1 }],
          ud: { remote_qpn: scene.b.qpn, remote_qkey: QKEY, ah: handleFor(scene.a, scene.b.gid) },
        },
      ],
    }),
    a: [[1, LOC_LEN_ERR]],
    states: [QpState.SQE, RTS],
    packets: 0,
  },
  {
    under: 'ERR/answer',
    slug: 'never-comes',
    doc: 'An RC request without any answer is sent retry_cnt + 1 times and completes with RETRY_EXC_ERR.',
    requirements: ['ERR-19', 'DATA-81', 'DATA-72'],
    post: scene => {
      scene.b.machine.must(
        modifyQp,
        { qpn: scene.b.qpn, attr_mask: QpAttrMask.STATE, qp_state: QpState.ERR },
        ['QP-32'],
      );
      return { sends: [{ sges: [mine(scene)] }] };
    },
    a: [[1, RETRY_EXC_ERR]],
    states: [ERR, ERR],
    packets: 3,
  },
];

export const receiveFaultCases: readonly ConformanceCase[] = [...rights, ...receives, ...lengths].map(
  fateCase,
);

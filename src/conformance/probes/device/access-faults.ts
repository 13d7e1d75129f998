/** Keys, rights and ranges (chapters 9, 10 and 13): each fault of an access ends in its own statuses, and moves no byte. */
import { AccessFlag, QpAttrMask, QpState, QpType, WrOpcode } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { deregMr, getDmaMr, modifyQp, queryPort } from './messages.js';
import type { SendFields, SgeValue } from './messages.js';
import { numberOfNeighbour } from './numbers.js';
import { fateCase, status } from './outcomes.js';
import type { Fate } from './outcomes.js';
import { handleFor, QKEY, register } from './site.js';
import type { Pair } from './site.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const { SUCCESS, LOC_LEN_ERR, LOC_PROT_ERR, REM_INV_REQ_ERR, REM_ACCESS_ERR, REM_OP_ERR } = status;
const { RNR_RETRY_EXC_ERR, RETRY_EXC_ERR, LOC_ACCESS_ERR } = status;
const { ERR, RTS } = QpState;

type Element = (scene: Pair) => SgeValue;
const mine: Element = ({ a }) => ({ addr: a.region.address, length: 16, lkey: a.region.lkey });
const theirs: Element = ({ b }) => ({ addr: b.region.address, length: 16, lkey: b.region.lkey });
const shifted =
  (element: Element, by: Partial<SgeValue>): Element =>
  scene => ({ ...element(scene), ...by });

/** Elements that a send, a write or the local side of a read must not use, for whatever direction. */
const badElements: readonly (readonly [
  slug: string,
  doc: string,
  ids: readonly string[],
  element: Element,
])[] = [
  ['key-0', 'names the key 0', ['ERR-11', 'MEM-11'], shifted(mine, { lkey: 0 })],
  [
    'key-with-low-bit-wrong',
    'names a key whose lowest bit is wrong',
    ['MEM-11', 'ERR-11'],
    scene => ({ ...mine(scene), lkey: (scene.a.region.lkey ^ 1) >>> 0 }),
  ],
  [
    'key-with-bit-8-wrong',
    'names a key whose bit 8 is wrong',
    ['MEM-11', 'ERR-11'],
    scene => ({ ...mine(scene), lkey: unusedKey(scene, scene.a.region.lkey ^ 256) }),
  ],
  [
    'key-with-high-bit-wrong',
    'names a key whose highest bit is wrong',
    ['MEM-11', 'ERR-11'],
    scene => ({ ...mine(scene), lkey: (scene.a.region.lkey ^ 0x8000_0000) >>> 0 }),
  ],
  [
    'one-byte-before',
    'begins one byte before its region',
    ['MEM-21', 'ERR-11'],
    scene => ({ ...mine(scene), addr: scene.a.region.address - 1 }),
  ],
  [
    'one-byte-behind',
    'ends one byte behind its region',
    ['MEM-21', 'ERR-11'],
    scene => ({ ...mine(scene), addr: scene.a.region.address + scene.a.region.length - 15 }),
  ],
  [
    'end-above-2-64',
    'ends above 2^64 - 1',
    ['MEM-24', 'ERR-11'],
    scene => ({ ...mine(scene), addr: 2 ** 64 - 2048, length: 4096 }),
  ],
  [
    'key-of-another-domain',
    'names a region of another protection domain',
    ['ISO-20', 'ERR-11'],
    scene => {
      const { machine, otherPdn, region } = scene.a;
      return { ...mine(scene), lkey: register(machine, otherPdn, region.address, 4096).lkey };
    },
  ],
  [
    'key-of-another-machine',
    'names a region of another machine',
    ['ISO-03', 'ERR-11'],
    scene => ({ ...theirs(scene), lkey: foreignKey(scene) }),
  ],
  [
    'key-deregistered',
    'names a region that is gone',
    ['RST-16', 'RST-17', 'ERR-11'],
    scene => {
      const { machine, pdn, region } = scene.a;
      const { mrn, lkey } = register(machine, pdn, region.address, 4096);
      machine.must(deregMr, { mrn });
      return { ...mine(scene), lkey };
    },
  ],
  [
    'outside-memory-by-dma-region',
    'lies behind guest memory in a region of GET_DMA_MR',
    ['MEM-08', 'ISO-06'],
    scene => {
      const { machine, pdn } = scene.a;
      const { lkey } = machine.must(getDmaMr, { pdn, access_flags: LOCAL_WRITE });
      return { addr: machine.memory.end - 8, length: 16, lkey };
    },
  ],
  [
    'across-two-regions',
    'begins in one region and ends in the next one',
    ['MEM-26', 'MEM-21'],
    scene => {
      const { machine, pdn, region } = scene.a;
      const first = register(machine, pdn, region.address, 4096);
      register(machine, pdn, region.address + 4096, 4096);
      return { addr: region.address + 4088, length: 16, lkey: first.lkey };
    },
  ],
];

/** A key that differs from a region's and that no region of the machine has, as far as the probe knows. */
function unusedKey(scene: Pair, key: number): number {
  return key >>> 0 === scene.a.region.rkey ? (key ^ 512) >>> 0 : key >>> 0;
}

/** A local key of a region of the neighbour that no region of one's own has. */
function foreignKey(scene: Pair): number {
  const own = new Set([scene.a.region.lkey, scene.a.region.rkey]);
  const { machine, pdn } = scene.b;
  for (let tries = 0; tries < 4; tries++) {
    const { lkey } = machine.must(getDmaMr, { pdn, access_flags: LOCAL_WRITE });
    if (!own.has(lkey)) return lkey;
  }
  return numberOfNeighbour(scene, 'mr', () => undefined);
}

const both = [ERR, RTS] as const;

const gathers = badElements.map(([slug, doc, requirements, element]): Fate => ({
  under: 'ERR/gather',
  slug,
  doc: `A send whose element ${doc} completes with LOC_PROT_ERR and reaches nobody.`,
  requirements,
  post: scene => ({ sends: [{ sges: [element(scene)] }], receives: [[theirs(scene)]] }),
  a: [[1, LOC_PROT_ERR]],
  states: both,
  packets: 0,
}));

const scatters = badElements.map(([slug, doc, requirements, element]): Fate => ({
  under: 'ERR/read-scatter',
  slug,
  doc: `An RDMA_READ whose element ${doc} completes with LOC_PROT_ERR and writes nothing.`,
  requirements: [...requirements.filter(id => id !== 'ERR-11'), 'ERR-12', 'ERR-23'],
  post: scene => ({
    sends: [
      {
        opcode: WrOpcode.RDMA_READ,
        sges: [element(scene)],
        rdma: { remote_addr: scene.b.region.address, rkey: scene.b.region.rkey },
      },
    ],
  }),
  a: [[1, LOC_PROT_ERR]],
}));

type Remote = readonly [
  slug: string,
  doc: string,
  ids: readonly string[],
  target: (scene: Pair) => { remote_addr: number; rkey: number },
  fault?: number,
];

const sound = ({ b }: Pair) => ({ remote_addr: b.region.address, rkey: b.region.rkey });
/** A region of the peer with less than all rights. */
const region = (scene: Pair, access: number) => {
  const { machine, pdn, region: whole } = scene.b;
  return register(machine, pdn, whole.address, 4096, access);
};

const remotes: readonly Remote[] = [
  ['key-0', 'with the remote key 0', ['MEM-09', 'ERR-15'], scene => ({ ...sound(scene), rkey: 0 })],
  [
    'key-wrong',
    'with a remote key whose highest bit is wrong',
    ['MEM-11', 'ERR-15'],
    scene => ({ ...sound(scene), rkey: (scene.b.region.rkey ^ 0x8000_0000) >>> 0 }),
  ],
  [
    'lkey-without-remote-rights',
    'with the local key of a region that has no remote rights',
    ['MEM-10', 'ERR-15'],
    scene => ({ ...sound(scene), rkey: region(scene, LOCAL_WRITE).lkey }),
  ],
  [
    'one-byte-before',
    'that begins one byte before the region',
    ['MEM-21', 'MEM-23', 'ERR-15'],
    scene => ({ ...sound(scene), remote_addr: scene.b.region.address - 1 }),
  ],
  [
    'one-byte-behind',
    'that ends one byte behind the region',
    ['MEM-21', 'MEM-23', 'ERR-15'],
    scene => ({ ...sound(scene), remote_addr: scene.b.region.address + scene.b.region.length - 15 }),
  ],
  [
    'end-above-2-64',
    'that ends above 2^64 - 1',
    ['MEM-24', 'ERR-15'],
    scene => ({ ...sound(scene), remote_addr: 2 ** 64 - 2048 }),
  ],
  [
    'key-of-another-domain',
    "with a key of another protection domain than the responder's",
    ['ISO-21', 'ERR-15'],
    scene => {
      const { machine, otherPdn, region: whole } = scene.b;
      return { remote_addr: whole.address, rkey: register(machine, otherPdn, whole.address, 4096).rkey };
    },
  ],
  [
    'key-of-the-requester',
    "with a key of the requester's own machine",
    ['ISO-04', 'ERR-15'],
    scene => {
      const { machine, pdn, region: whole } = scene.a;
      // One that the responder's machine does not have: the requester has more regions than it.
      const keys = [1, 2, 3].map(() => register(machine, pdn, whole.address, 4096).rkey);
      const rkey = keys.find(key => key !== scene.b.region.rkey && key !== scene.b.region.lkey) ?? keys[2];
      return { remote_addr: whole.address, rkey };
    },
  ],
  [
    'key-deregistered',
    'with the key of a region that is gone',
    ['RST-16', 'ERR-15'],
    scene => {
      const gone = region(scene, LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ);
      scene.b.machine.must(deregMr, { mrn: gone.mrn });
      return { remote_addr: gone.address, rkey: gone.rkey };
    },
  ],
];

const operations = [
  ['write', WrOpcode.RDMA_WRITE, 'An RDMA_WRITE'],
  ['read', WrOpcode.RDMA_READ, 'An RDMA_READ'],
] as const;

const remoteFaults = operations.flatMap(([operation, opcode, name]) =>
  remotes.map(([slug, doc, requirements, target]): Fate => ({
    under: `ERR/remote-${operation}`,
    slug,
    doc: `${name} ${doc} completes with REM_ACCESS_ERR, and the responder goes to ERR.`,
    requirements: [...requirements, 'QP-53', 'ERR-23'],
    post: scene => ({ sends: [{ opcode, sges: [mine(scene)], rdma: target(scene) }] }),
    a: [[1, REM_ACCESS_ERR]],
    states: [ERR, ERR],
  })),
);

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
          sges: [{ ...mine(scene), length: 1025 }],
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

export const accessFaultCases: readonly ConformanceCase[] = [
  ...gathers,
  ...scatters,
  ...remoteFaults,
  ...rights,
  ...receives,
  ...lengths,
].map(fateCase);

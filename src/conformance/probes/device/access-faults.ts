/** Keys and ranges (chapters 9, 10 and 13): each fault of an access ends in its own statuses, and moves no byte. */
import { AccessFlag, QpState, WrOpcode } from '../../../abi/index.js';
import type { StructValue, regUserMrAck } from '../../../abi/index.js';
import type { ConformanceCase } from '../../cases/case.js';
import { deregMr, getDmaMr, regUserMr, regUserMrBytes } from './messages.js';
import type { SgeValue } from './messages.js';
import { numberOfNeighbour } from './numbers.js';
import { fateCase, status } from './outcomes.js';
import type { Fate } from './outcomes.js';
import { ALL_RIGHTS, register } from './site.js';
import type { Pair, Side } from './site.js';
import { mine, sound, theirs, region } from './access-places.js';
import type { Element } from './access-places.js';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const { LOC_PROT_ERR, REM_ACCESS_ERR } = status;
const { ERR, RTS } = QpState;
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
    'end-above-2-64-of-a-region-at-0',
    'ends above 2^64 - 1, in a region that begins at address 0',
    ['MEM-24', 'ERR-11'],
    scene => ({ addr: 2 ** 64 - 2048, length: 2064, lkey: regionAtZero(scene.a).lkey }),
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

/** A page of all rights at virtual address 0: where an address would be that went round at 2^64. */
function regionAtZero({ machine, pdn, region: { address } }: Side): StructValue<typeof regUserMrAck> {
  const fields = { pdn, access_flags: ALL_RIGHTS, virt_addr: 0, length: 4096 };
  return machine.must(regUserMr, regUserMrBytes(fields, [address]), ['MEM-04']);
}

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
    'end-above-2-64-of-a-region-at-0',
    'that ends above 2^64 - 1, with the key of a region that begins at address 0',
    ['MEM-24', 'ERR-15'],
    scene => ({ remote_addr: 2 ** 64 - 8, rkey: regionAtZero(scene.b).rkey }),
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

export const accessFaultCases: readonly ConformanceCase[] = [...gathers, ...scatters, ...remoteFaults].map(
  fateCase,
);

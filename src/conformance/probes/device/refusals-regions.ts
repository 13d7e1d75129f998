/** Reasons to refuse GET_DMA_MR, REG_USER_MR and DEREG_MR, one row each. */
import { AccessFlag } from '../../../abi/index.js';
import { CaseUnsupported } from '../../cases/case.js';
import { deregMr, getDmaMr, pagesOf, queryDevice, regUserMr, regUserMrBytes } from './messages.js';
import { destroyedPd, fill, foreignPd, numberOfNeighbour, unknownNumber } from './numbers.js';
import { refusalCase, refuse } from './refusals.js';
import type { Refusal } from './refusals.js';
import type { Pair, Side } from './site.js';

const { LOCAL_WRITE, REMOTE_WRITE } = AccessFlag;

const region = ({ a }: Pair, more: object = {}) => ({
  pdn: a.pdn,
  access_flags: LOCAL_WRITE,
  virt_addr: 0x5000_0123,
  length: 5000,
  ...more,
});
/** A registration that is sound but for `more`; its list has two pages unless `pages` says otherwise. */
const registration = (scene: Pair, more: object = {}, pages?: readonly number[]): Uint8Array => {
  const { address } = scene.a.region;
  return regUserMrBytes(region(scene, more), pages ?? [address, address + 4096]);
};
/** The same with 64-bit numbers that no JavaScript number holds. */
const wideRegistration = (scene: Pair, virtAddr: bigint, length: bigint): Uint8Array => {
  const data = registration(scene);
  const view = new DataView(data.buffer);
  view.setBigUint64(regUserMr.request.size - 24, virtAddr, true);
  view.setBigUint64(regUserMr.request.size - 16, length, true);
  return data;
};
/** The rules that both registrations share. */
function accessRules(shape: typeof getDmaMr | typeof regUserMr, ids: readonly [string, string]): Refusal[] {
  const make = (scene: Pair, access_flags: number): Uint8Array => {
    if (shape.name === 'REG_USER_MR') return registration(scene, { access_flags });
    const data = new Uint8Array(8);
    new DataView(data.buffer).setUint32(0, scene.a.pdn, true);
    new DataView(data.buffer).setUint32(4, access_flags, true);
    return data;
  };
  const row = (condition: string, doc: string, id: string, access: number): Refusal => {
    const bytes = (scene: Pair): Uint8Array => make(scene, access);
    return shape.name === 'REG_USER_MR'
      ? refuse(regUserMr, condition, doc, [id], bytes)
      : refuse(getDmaMr, condition, doc, [id], bytes);
  };
  return [
    row(
      'unknown-access-flag',
      `${shape.name} with an access flag that is not in the table is refused.`,
      ids[0],
      9,
    ),
    row(
      'highest-access-flag',
      `${shape.name} with bit 31 of the access flags is refused.`,
      ids[0],
      0x8000_0001,
    ),
    row(
      'remote-write-without-local',
      `${shape.name} with REMOTE_WRITE and without LOCAL_WRITE is refused.`,
      ids[1],
      REMOTE_WRITE,
    ),
  ];
}

const regions: readonly Refusal[] = [
  refuse(
    getDmaMr,
    'unknown-domain',
    'GET_DMA_MR in a protection domain that does not exist is refused.',
    ['CTRL-48'],
    ({ a }) => ({ pdn: unknownNumber(a.machine, 'pd'), access_flags: 0 }),
  ),
  refuse(
    getDmaMr,
    'destroyed-domain',
    'GET_DMA_MR in a destroyed protection domain is refused.',
    ['RST-26', 'CTRL-48'],
    ({ a }) => ({ pdn: destroyedPd(a), access_flags: 0 }),
  ),
  refuse(
    getDmaMr,
    'domain-of-another-machine',
    "GET_DMA_MR in another machine's protection domain is refused.",
    ['ISO-01', 'CTRL-48'],
    scene => ({ pdn: foreignPd(scene), access_flags: 0 }),
  ),
  ...accessRules(getDmaMr, ['CTRL-49', 'CTRL-50']),
  refuse(
    getDmaMr,
    'limit-reached',
    'GET_DMA_MR is refused when max_mr regions exist.',
    ['CTRL-51', 'RST-23', 'RST-25'],
    ({ a }) => {
      fillRegions(a);
      return { pdn: a.pdn, access_flags: 0 };
    },
  ),
  refuse(
    regUserMr,
    'unknown-domain',
    'REG_USER_MR in a protection domain that does not exist is refused.',
    ['CTRL-53'],
    scene => registration(scene, { pdn: unknownNumber(scene.a.machine, 'pd') }),
  ),
  refuse(
    regUserMr,
    'destroyed-domain',
    'REG_USER_MR in a destroyed protection domain is refused.',
    ['RST-26', 'CTRL-53'],
    scene => registration(scene, { pdn: destroyedPd(scene.a) }),
  ),
  refuse(
    regUserMr,
    'domain-of-another-machine',
    "REG_USER_MR in another machine's protection domain is refused.",
    ['ISO-01', 'CTRL-53'],
    scene => registration(scene, { pdn: foreignPd(scene) }),
  ),
  ...accessRules(regUserMr, ['CTRL-54', 'CTRL-55']),
  refuse(regUserMr, 'zero-length', 'REG_USER_MR of no bytes is refused.', ['CTRL-56'], scene =>
    registration(scene, { length: 0 }, []),
  ),
  refuse(
    regUserMr,
    'zero-length-with-a-page',
    'REG_USER_MR of no bytes is refused, a page in the list or not.',
    ['CTRL-56'],
    scene => registration(scene, { length: 0 }, [scene.a.region.address]),
  ),
  refuse(
    regUserMr,
    'above-max-mr-size',
    'REG_USER_MR of one byte more than max_mr_size is refused.',
    ['CTRL-57', 'CTRL-27'],
    scene => {
      const length = scene.a.machine.must(queryDevice).max_mr_size + 1;
      if (length > 2 ** 22) throw new CaseUnsupported(`max_mr_size ${length - 1} is too large to list`);
      const pages = pagesOf(0x7000_0000, length).map(() => scene.a.region.address);
      return registration(scene, { virt_addr: 0x7000_0000, length }, pages);
    },
    { options: { memoryBytes: 512 * 1024 } },
  ),
  refuse(regUserMr, 'end-above-2-64', 'REG_USER_MR whose end is above 2^64 is refused.', ['CTRL-58'], scene =>
    wideRegistration(scene, 2n ** 64n - 0x1000n, 0x1001n),
  ),
  refuse(
    regUserMr,
    'length-of-64-bits',
    'REG_USER_MR of 2^64 - 1 bytes is refused.',
    ['CTRL-57', 'CTRL-58'],
    scene => wideRegistration(scene, 0x1000n, 2n ** 64n - 1n),
  ),
  refuse(
    regUserMr,
    'too-few-pages',
    'REG_USER_MR with fewer pages than the region touches is refused.',
    ['CTRL-60'],
    scene => registration(scene, {}, [scene.a.region.address]),
  ),
  refuse(regUserMr, 'no-pages', 'REG_USER_MR with an empty page list is refused.', ['CTRL-60'], scene =>
    registration(scene, { length: 1 }, []),
  ),
  refuse(
    regUserMr,
    'too-many-pages',
    'REG_USER_MR with more pages than the region touches is refused.',
    ['CTRL-61'],
    scene => {
      const { address } = scene.a.region;
      return registration(scene, {}, [address, address + 4096, address]);
    },
  ),
  refuse(
    regUserMr,
    'page-list-cut-short',
    'REG_USER_MR whose readable part ends before its page list does is refused.',
    ['CTRL-62'],
    scene => registration(scene).subarray(0, -1),
  ),
  refuse(
    regUserMr,
    'no-page-list',
    'REG_USER_MR that announces pages and brings none is refused.',
    ['CTRL-62'],
    scene => registration(scene).subarray(0, regUserMr.request.size),
  ),
  refuse(
    regUserMr,
    'npages-of-32-bits',
    'REG_USER_MR that announces 2^32 - 1 pages is refused.',
    ['CTRL-61', 'CTRL-62'],
    scene => registration(scene, { npages: 0xffff_ffff }),
  ),
  refuse(
    regUserMr,
    'page-not-aligned',
    'REG_USER_MR with a page address that is no multiple of 4096 is refused.',
    ['CTRL-63'],
    scene => {
      const { address } = scene.a.region;
      return registration(scene, {}, [address, address + 8]);
    },
  ),
  refuse(
    regUserMr,
    'page-outside-memory',
    'REG_USER_MR with a page behind guest memory is refused.',
    ['CTRL-64', 'ISO-06'],
    scene => registration(scene, {}, [scene.a.region.address, scene.a.machine.memory.end]),
  ),
  refuse(
    regUserMr,
    'page-at-zero',
    'REG_USER_MR with a page before guest memory is refused.',
    ['CTRL-64', 'ISO-06'],
    scene => registration(scene, {}, [0, scene.a.region.address]),
  ),
  refuse(
    regUserMr,
    'limit-reached',
    'REG_USER_MR is refused when max_mr regions exist.',
    ['CTRL-65', 'RST-23', 'RST-25'],
    scene => {
      fillRegions(scene.a);
      return registration(scene);
    },
  ),
  refuse(
    deregMr,
    'unknown-number',
    'DEREG_MR of a number that no region has is refused.',
    ['CTRL-69', 'RST-26'],
    ({ a }) => ({ mrn: unknownNumber(a.machine, 'mr') }),
  ),
  refuse(
    deregMr,
    'twice',
    'DEREG_MR of a number that is gone is refused.',
    ['RST-03', 'CTRL-69'],
    ({ a }) => {
      const { mrn } = a.machine.must(getDmaMr, { pdn: a.pdn, access_flags: 0 });
      a.machine.must(deregMr, { mrn });
      return { mrn };
    },
  ),
  refuse(
    deregMr,
    'of-another-machine',
    "DEREG_MR of a number that only another machine's region has is refused.",
    ['ISO-01', 'CTRL-69'],
    scene => ({
      mrn: numberOfNeighbour(scene, 'mr', () =>
        scene.b.machine.must(getDmaMr, { pdn: scene.b.pdn, access_flags: 0 }),
      ),
    }),
  ),
];

function fillRegions({ machine, pdn }: Side): void {
  fill(machine, 'mr', machine.must(queryDevice).max_mr, () =>
    machine.must(getDmaMr, { pdn, access_flags: 0 }),
  );
}

export const regionRefusals = regions.map(refusalCase);

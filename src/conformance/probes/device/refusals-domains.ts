/** Reasons to refuse CREATE_PD and DESTROY_PD, and the commands of address handles and GIDs, one row each. */
import { CaseUnsupported } from '../../cases/case.js';
import {
  addGid,
  addressVector,
  createAh,
  createPd,
  createQp,
  delGid,
  destroyAh,
  destroyPd,
  getDmaMr,
  gidOf,
  queryDevice,
  queryPort,
} from './messages.js';
import { destroyedPd, fill, foreignPd, numberOfNeighbour, unknownNumber } from './numbers.js';
import { refusalCase, refuse } from './refusals.js';
import type { Refusal } from './refusals.js';
import { handleFor, qpFields } from './site.js';
import type { Pair } from './site.js';

const domains: readonly Refusal[] = [
  refuse(
    createPd,
    'limit-reached',
    'CREATE_PD is refused when max_pd protection domains exist.',
    ['CTRL-46', 'RST-23'],
    ({ a: { machine } }) => {
      fill(machine, 'pd', machine.must(queryDevice).max_pd, () => machine.must(createPd));
      return {};
    },
  ),
  refuse(
    destroyPd,
    'unknown-number',
    'DESTROY_PD of a number that no protection domain has is refused.',
    ['CTRL-47', 'RST-26'],
    ({ a }) => ({ pdn: unknownNumber(a.machine, 'pd') }),
  ),
  refuse(
    destroyPd,
    'twice',
    'DESTROY_PD of a destroyed number is refused.',
    ['RST-03', 'CTRL-47'],
    ({ a }) => ({
      pdn: destroyedPd(a),
    }),
  ),
  refuse(
    destroyPd,
    'of-another-machine',
    "DESTROY_PD of a number that only another machine's protection domain has is refused.",
    ['ISO-01', 'CTRL-47'],
    scene => ({ pdn: foreignPd(scene) }),
  ),
  refuse(
    destroyPd,
    'number-of-another-kind',
    'DESTROY_PD of a number that only an address handle or region has is refused.',
    ['CTRL-21'],
    scene => ({ pdn: numberOfAnotherKind(scene) }),
  ),
  refuse(
    destroyPd,
    'in-use-by-a-region',
    'DESTROY_PD is refused while a region belongs to it.',
    ['RST-01'],
    ({ a }) => {
      a.machine.must(getDmaMr, { pdn: a.otherPdn, access_flags: 0 });
      return { pdn: a.otherPdn };
    },
  ),
  refuse(
    destroyPd,
    'in-use-by-a-queue-pair',
    'DESTROY_PD is refused while a queue pair belongs to it.',
    ['RST-01'],
    ({ a }) => {
      a.machine.must(createQp, qpFields(a, { pdn: a.otherPdn }));
      return { pdn: a.otherPdn };
    },
  ),
  refuse(
    destroyPd,
    'in-use-by-an-address-handle',
    'DESTROY_PD is refused while an address handle belongs to it.',
    ['RST-01'],
    ({ a }) => {
      a.machine.must(createAh, { pdn: a.otherPdn, ah_attr: addressVector(a.gid) });
      return { pdn: a.otherPdn };
    },
  ),
];

/** A number of a region or address handle that no protection domain has; such objects are made until there is one. */
function numberOfAnotherKind({ a }: Pair): number {
  const { living } = a.machine;
  for (let tries = 0; tries <= 8; tries++) {
    for (const number of [...living.mr, ...living.ah]) if (!living.pd.has(number)) return number;
    if (a.machine.ask(getDmaMr, { pdn: a.pdn, access_flags: 0 }) === undefined) break;
  }
  throw new CaseUnsupported('regions and protection domains always have equal numbers');
}

const handles: readonly Refusal[] = [
  refuse(
    createAh,
    'unknown-domain',
    'CREATE_AH in a protection domain that does not exist is refused.',
    ['CTRL-94'],
    ({ a }) => ({ pdn: unknownNumber(a.machine, 'pd'), ah_attr: addressVector(a.gid) }),
  ),
  refuse(
    createAh,
    'destroyed-domain',
    'CREATE_AH in a destroyed protection domain is refused.',
    ['RST-26', 'CTRL-94'],
    ({ a }) => ({ pdn: destroyedPd(a), ah_attr: addressVector(a.gid) }),
  ),
  refuse(
    createAh,
    'domain-of-another-machine',
    "CREATE_AH in another machine's protection domain is refused.",
    ['ISO-01', 'CTRL-94'],
    scene => ({ pdn: foreignPd(scene), ah_attr: addressVector(scene.a.gid) }),
  ),
  refuse(
    createAh,
    'sgid-index-out-of-range',
    'CREATE_AH whose sgid_index is not below gid_tbl_len is refused.',
    ['CTRL-95'],
    ({ a }) => ({
      pdn: a.pdn,
      ah_attr: addressVector(a.gid, Math.min(255, a.machine.must(queryPort).gid_tbl_len)),
    }),
  ),
  refuse(
    createAh,
    'sgid-index-empty',
    'CREATE_AH whose sgid_index names an empty entry is refused.',
    ['CTRL-95', 'RST-21'],
    ({ a }) => ({ pdn: a.pdn, ah_attr: addressVector(a.gid, 1) }),
  ),
  refuse(
    createAh,
    'sgid-index-deleted',
    'CREATE_AH whose sgid_index names an entry that was deleted is refused.',
    ['RST-21', 'CTRL-95'],
    ({ a }) => {
      a.machine.must(addGid, { index: 1, gid: gidOf(0, 9) });
      a.machine.must(delGid, { index: 1 });
      return { pdn: a.pdn, ah_attr: addressVector(a.gid, 1) };
    },
  ),
  refuse(
    createAh,
    'flow-label-of-21-bits',
    'CREATE_AH with a flow label of 2^20 is refused.',
    ['CTRL-96'],
    ({ a }) => ({ pdn: a.pdn, ah_attr: addressVector(a.gid, 0, 2 ** 20) }),
  ),
  refuse(
    createAh,
    'limit-reached',
    'CREATE_AH is refused when max_ah address handles exist.',
    ['CTRL-97', 'RST-23', 'RST-25'],
    ({ a }) => {
      const fields = { pdn: a.pdn, ah_attr: addressVector(a.gid) };
      fill(a.machine, 'ah', a.machine.must(queryDevice).max_ah, () => a.machine.must(createAh, fields));
      return fields;
    },
  ),
  refuse(
    destroyAh,
    'unknown-number',
    'DESTROY_AH of a number that no address handle has is refused.',
    ['CTRL-99', 'RST-26'],
    ({ a }) => ({ pdn: a.pdn, ah: unknownNumber(a.machine, 'ah') }),
  ),
  refuse(
    destroyAh,
    'twice',
    'DESTROY_AH of a number that is gone is refused.',
    ['RST-03', 'CTRL-99'],
    ({ a }) => {
      const ah = handleFor(a, a.gid);
      a.machine.must(destroyAh, { pdn: a.pdn, ah });
      return { pdn: a.pdn, ah };
    },
  ),
  refuse(
    destroyAh,
    'domain-of-another',
    'DESTROY_AH that names another protection domain than the handle’s is refused.',
    ['CTRL-100'],
    ({ a }) => ({ pdn: a.otherPdn, ah: handleFor(a, a.gid) }),
  ),
  refuse(
    destroyAh,
    'of-another-machine',
    "DESTROY_AH of a number that only another machine's handle has is refused.",
    ['ISO-01', 'CTRL-99'],
    scene => ({
      pdn: scene.a.pdn,
      ah: numberOfNeighbour(scene, 'ah', () => handleFor(scene.b, scene.b.gid)),
    }),
  ),
  refuse(
    addGid,
    'index-out-of-range',
    'ADD_GID with an index that is not below gid_tbl_len is refused.',
    ['CTRL-101'],
    ({ a }) => ({ index: a.machine.must(queryPort).gid_tbl_len, gid: gidOf(0, 5) }),
  ),
  refuse(addGid, 'index-of-16-bits', 'ADD_GID with the index 65535 is refused.', ['CTRL-101'], () => ({
    index: 0xffff,
    gid: gidOf(0, 5),
  })),
  refuse(
    addGid,
    'gid-of-another-machine',
    'ADD_GID with a GID that another machine has is refused.',
    ['CTRL-102', 'ISO-10'],
    ({ b }) => ({ index: 1, gid: b.gid }),
  ),
  refuse(
    addGid,
    'gid-of-another-machine-over-own',
    'ADD_GID with a GID that another machine has is refused on an entry that is set, which keeps its GID.',
    ['CTRL-102', 'ISO-10'],
    ({ b }) => ({ index: 0, gid: b.gid }),
  ),
  refuse(
    addGid,
    'gid-of-another-entry',
    'ADD_GID with a GID that another entry of the same table has is refused.',
    ['CTRL-103'],
    ({ a }) => ({ index: 1, gid: a.gid }),
  ),
  refuse(addGid, 'zero-gid', 'ADD_GID with a GID of zero bytes is refused.', ['CTRL-104'], () => ({
    index: 1,
    gid: new Uint8Array(16),
  })),
  refuse(
    delGid,
    'index-out-of-range',
    'DEL_GID with an index that is not below gid_tbl_len is refused.',
    ['CTRL-106'],
    ({ a }) => ({ index: a.machine.must(queryPort).gid_tbl_len }),
  ),
  refuse(delGid, 'empty-entry', 'DEL_GID of an entry that was never set is refused.', ['CTRL-107'], () => ({
    index: 1,
  })),
  refuse(
    delGid,
    'twice',
    'DEL_GID of an entry that was deleted is refused.',
    ['CTRL-107', 'RST-03'],
    ({ a }) => {
      a.machine.must(addGid, { index: 1, gid: gidOf(0, 9) });
      a.machine.must(delGid, { index: 1 });
      return { index: 1 };
    },
  ),
];

export const domainRefusals = domains.map(refusalCase);
export const routeRefusals = handles.map(refusalCase);

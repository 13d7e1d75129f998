/** Devices that take a number which is nobody's for that of an object that there is. */
import {
  Command,
  delGidCommand,
  deregMrCommand,
  destroyAhCommand,
  destroyCqCommand,
  destroyQpCommand,
  queryQpCommand,
} from '../../../abi/index.js';
import type { DeviceObjects } from '../../../device/index.js';
import { mutant } from '../mutant.js';
import type { Mutant } from '../mutant.js';
import { commands } from '../seams/device.js';
import { createAh, createQp, getDmaMr, regUserMr, reqNotify, unchecked } from './check-support.js';

/** The lowest number that `find` knows. */
function anyOf(find: (number: number) => unknown, most = 64): number | undefined {
  for (let number = 0; number < most; number++) if (find(number) !== undefined) return number;
  return undefined;
}

const anyPd = ({ pds }: DeviceObjects): number | undefined => anyOf(number => pds.get(number));

const anyCq = (objects: DeviceObjects): number | undefined =>
  anyOf(number => objects.completionQueue(number));

const anyQp = (objects: DeviceObjects): number | undefined => anyOf(number => objects.queuePair(number));

const anyMr = ({ regions }: DeviceObjects): number | undefined => anyOf(number => regions.get(number));

/** Names `there` in the field where the number in it is nobody's. */
function ifGone<K extends string>(
  field: K,
  isThere: boolean,
  there: number | undefined,
): Partial<Record<K, number>> | undefined {
  if (isThere || there === undefined) return undefined;
  const found: Partial<Record<K, number>> = {};
  found[field] = there;
  return found;
}

/** A number that is nobody's is taken for that of an object that there is. */
const unknownNumbers: readonly Mutant[] = [
  unchecked(Command.DESTROY_CQ, destroyCqCommand)(
    'destroy-cq-by-any-number',
    'CTRL-38 RST-03 RST-26',
    "DESTROY_CQ of a cqn that is nobody's destroys another completion queue.",
    (r, o) => ifGone('cqn', o.completionQueue(r.cqn) !== undefined, anyCq(o)),
  ),
  reqNotify(
    'arm-by-any-number',
    'CTRL-39 RST-26',
    "REQ_NOTIFY_CQ of a cqn that is nobody's arms another completion queue.",
    (r, o) => ifGone('cqn', o.completionQueue(r.cqn) !== undefined, anyCq(o)),
  ),
  getDmaMr(
    'dma-mr-in-any-pd',
    'CTRL-48 RST-26',
    "GET_DMA_MR with a pdn that is nobody's takes another.",
    (r, o) => ifGone('pdn', o.pds.get(r.pdn) !== undefined, anyPd(o)),
  ),
  regUserMr(
    'user-mr-in-any-pd',
    'CTRL-53 RST-26',
    "REG_USER_MR with a pdn that is nobody's takes another.",
    (r, o) => ifGone('pdn', o.pds.get(r.pdn) !== undefined, anyPd(o)),
  ),
  unchecked(Command.DEREG_MR, deregMrCommand)(
    'dereg-by-any-number',
    'CTRL-69 RST-03 RST-26',
    "DEREG_MR of an mrn that is nobody's deregisters another region.",
    (r, o) => ifGone('mrn', o.regions.get(r.mrn) !== undefined, anyMr(o)),
  ),
  createQp('qp-in-any-pd', 'CTRL-70 RST-26', "CREATE_QP with a pdn that is nobody's takes another.", (r, o) =>
    ifGone('pdn', o.pds.get(r.pdn) !== undefined, anyPd(o)),
  ),
  createQp(
    'qp-with-any-send-cq',
    'CTRL-71 RST-26',
    "CREATE_QP with a send_cqn that is nobody's takes another.",
    (r, o) => ifGone('send_cqn', o.completionQueue(r.send_cqn) !== undefined, anyCq(o)),
  ),
  createQp(
    'qp-with-any-recv-cq',
    'CTRL-72 RST-26',
    "CREATE_QP with a recv_cqn that is nobody's takes another.",
    (r, o) => ifGone('recv_cqn', o.completionQueue(r.recv_cqn) !== undefined, anyCq(o)),
  ),
  unchecked(Command.QUERY_QP, queryQpCommand)(
    'query-by-any-number',
    'CTRL-89 RST-26',
    "QUERY_QP of a qpn that is nobody's shows another queue pair.",
    (r, o) => ifGone('qpn', o.queuePair(r.qpn) !== undefined, anyQp(o)),
  ),
  unchecked(Command.DESTROY_QP, destroyQpCommand)(
    'destroy-qp-by-any-number',
    'CTRL-93 RST-03 RST-26',
    "DESTROY_QP of a qpn that is nobody's destroys another queue pair.",
    (r, o) => ifGone('qpn', o.queuePair(r.qpn) !== undefined, anyQp(o)),
  ),
  createAh('ah-in-any-pd', 'CTRL-94 RST-26', "CREATE_AH with a pdn that is nobody's takes another.", (r, o) =>
    ifGone('pdn', o.pds.get(r.pdn) !== undefined, anyPd(o)),
  ),
  unchecked(Command.DESTROY_AH, destroyAhCommand)(
    'destroy-ah-of-any-pd',
    'CTRL-100',
    'DESTROY_AH does not compare the protection domain.',
    (r, o) => {
      const entry = o.addressHandles.get(r.ah);
      return entry === undefined ? undefined : { pdn: entry.pdn };
    },
  ),
  unchecked(Command.DEL_GID, delGidCommand)(
    'del-gid-beyond-the-table',
    'CTRL-106',
    'DEL_GID beyond the table clears the last entry, if it is set.',
    (r, o) => {
      const { gidTableLength } = o.context.hca.port;
      return r.index >= gidTableLength ? { index: r.index % gidTableLength } : undefined;
    },
  ),
];

/** A command that names nothing is answered OK. `field`: bytes from the start of the data to the number. */
function ofNobody(
  code: Command,
  name: string,
  breaks: string,
  doc: string,
  isThere: (objects: DeviceObjects, number: number) => boolean,
  field = 0,
): Mutant {
  return mutant(
    'device',
    name,
    { chapter: 'control', breaks },
    doc,
    commands(
      ({ run }) => ({
        run: (objects, request, result, pages) =>
          !isThere(objects, request.getUint32(field, true)) || run(objects, request, result, pages),
      }),
      code,
    ),
  );
}

const nobodys: readonly Mutant[] = [
  ofNobody(
    Command.DESTROY_PD,
    'destroy-pd-of-nobody-is-ok',
    'CTRL-47 RST-03 RST-26',
    "DESTROY_PD of a pdn that is nobody's is answered OK.",
    ({ pds }, pdn) => pds.get(pdn) !== undefined,
  ),
  ofNobody(
    Command.MODIFY_QP,
    'modify-of-nobody-is-ok',
    'CTRL-84 RST-26',
    "MODIFY_QP of a qpn that is nobody's is answered OK.",
    (objects, qpn) => objects.queuePair(qpn) !== undefined,
  ),
  ofNobody(
    Command.DESTROY_AH,
    'destroy-ah-of-nobody-is-ok',
    'CTRL-99 RST-03 RST-26',
    "DESTROY_AH of an ah that is nobody's is answered OK.",
    ({ addressHandles }, ah) => addressHandles.get(ah) !== undefined,
    4,
  ),
  ofNobody(
    Command.DESTROY_PD,
    'number-of-another-kind-is-ok',
    'CTRL-21',
    'DESTROY_PD of a number that only objects of other kinds have is answered OK.',
    (objects, number) =>
      objects.pds.get(number) !== undefined ||
      (objects.queuePair(number) ?? objects.completionQueue(number) ?? objects.regions.get(number)) ===
        undefined,
  ),
];

export const numberCheckMutants: readonly Mutant[] = [...unknownNumbers, ...nobodys];

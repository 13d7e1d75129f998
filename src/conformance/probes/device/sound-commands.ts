/** Each of the 18 commands as a driver may send it, so that rules for all of them are asked of each. */
import { AccessFlag, NotifyFlag, QpAttrMask, QpState, QpType } from '../../../abi/index.js';
import type { CommandShape } from '../../../abi/index.js';
import {
  addGid,
  addressVector,
  bytesOf,
  createAh,
  createCq,
  createPd,
  createQp,
  delGid,
  deregMr,
  destroyAh,
  destroyCq,
  destroyPd,
  destroyQp,
  getDmaMr,
  gidOf,
  modifyQp,
  queryDevice,
  queryPort,
  queryQp,
  regUserMr,
  regUserMrBytes,
  reqNotifyCq,
} from './messages.js';
import { handleFor, qpFields } from './site.js';
import type { Pair } from './site.js';

export interface SoundCommand {
  readonly shape: Pick<CommandShape<unknown, unknown>, 'name' | 'code'>;
  readonly requestBytes: number;
  readonly resultBytes: number;
  /** Whether the result holds nothing but what the spec rules, so that two runs give equal bytes. */
  readonly ruled: boolean;
  /** Makes what the command needs, and gives its struct and what follows it. */
  data(scene: Pair): Uint8Array;
  /** Looks whether the command has had its effect; the requirement is that of the case. */
  verify(scene: Pair, requirements: readonly string[]): void;
}

function sound<Q, A>(
  shape: CommandShape<Q, A>,
  fields: (scene: Pair) => Partial<Q> | Uint8Array,
  verify: SoundCommand['verify'] = () => {},
  ruled = false,
): SoundCommand {
  return {
    shape,
    requestBytes: shape.request.size,
    resultBytes: shape.result.size,
    ruled,
    data: scene => {
      const value = fields(scene);
      return value instanceof Uint8Array ? value : bytesOf(shape.request, value);
    },
    verify,
  };
}

const SPARE_CQ = 1;
const SPARE_QP = 3;
const NEW_GID = gidOf(0, 7);

const spareQp = ({ a }: Pair): number => a.machine.must(createQp, qpFields(a, { qp_type: QpType.UD })).qpn;
const spareCq = ({ a }: Pair): number => a.machine.must(createCq, { cqe: 4 }).cqn;

/** Accuses unless a later command is refused, or accepted. */
function then<Q>(
  { a, bench }: Pair,
  requirements: readonly string[],
  shape: CommandShape<Q, unknown>,
  fields: Partial<Q>,
  accepted: boolean,
): void {
  const got = a.machine.ask(shape, fields) !== undefined;
  bench.same(requirements, `${shape.name} afterwards is accepted`, got, accepted);
}

export const soundCommands: readonly SoundCommand[] = [
  sound(queryDevice, () => ({}), undefined, true),
  sound(queryPort, () => ({}), undefined, true),
  sound(
    createCq,
    () => ({ cqe: 4 }),
    (scene, ids) => then(scene, ids, destroyCq, { cqn: SPARE_CQ }, true),
    true,
  ),
  sound(
    destroyCq,
    scene => ({ cqn: spareCq(scene) }),
    (scene, ids) => then(scene, ids, destroyCq, { cqn: SPARE_CQ }, false),
  ),
  sound(createPd, () => ({})),
  sound(
    destroyPd,
    ({ a }) => ({ pdn: a.otherPdn }),
    (scene, ids) => then(scene, ids, destroyPd, { pdn: scene.a.otherPdn }, false),
  ),
  sound(getDmaMr, ({ a }) => ({ pdn: a.pdn, access_flags: AccessFlag.LOCAL_WRITE })),
  sound(regUserMr, ({ a }) => {
    const fields = {
      pdn: a.pdn,
      access_flags: AccessFlag.LOCAL_WRITE,
      virt_addr: 0x5000_0123,
      length: 5000,
    };
    return regUserMrBytes(fields, [a.region.address, a.region.address + 4096]);
  }),
  sound(deregMr, ({ a }) => ({ mrn: a.machine.must(getDmaMr, { pdn: a.pdn, access_flags: 0 }).mrn })),
  sound(
    createQp,
    ({ a }) => qpFields(a),
    (scene, ids) => then(scene, ids, destroyQp, { qpn: SPARE_QP }, true),
    true,
  ),
  sound(
    modifyQp,
    scene => ({
      qpn: spareQp(scene),
      attr_mask: QpAttrMask.STATE | QpAttrMask.QKEY,
      qp_state: QpState.INIT,
      qkey: 0x1234_5678,
    }),
    ({ a, bench }, ids) => {
      const got = a.machine.must(queryQp, { qpn: SPARE_QP, attr_mask: 0 });
      bench.same(ids, 'state and Q_Key afterwards', [got.qp_state, got.qkey], [QpState.INIT, 0x1234_5678]);
    },
  ),
  sound(queryQp, ({ a }) => ({ qpn: a.qpn, attr_mask: 0 }), undefined, true),
  sound(
    destroyQp,
    scene => ({ qpn: spareQp(scene) }),
    (scene, ids) => then(scene, ids, destroyQp, { qpn: SPARE_QP }, false),
  ),
  sound(createAh, ({ a, b }) => ({ pdn: a.pdn, ah_attr: addressVector(b.gid) })),
  sound(destroyAh, ({ a }) => ({ pdn: a.pdn, ah: handleFor(a, a.gid) })),
  sound(
    addGid,
    () => ({ index: 1, gid: NEW_GID }),
    ({ b, bench }, ids) => {
      const taken = b.machine.ask(addGid, { index: 1, gid: NEW_GID }) === undefined;
      bench.same(ids, 'another machine is refused the GID afterwards', taken, true);
    },
  ),
  sound(
    delGid,
    ({ a }) => {
      a.machine.must(addGid, { index: 1, gid: NEW_GID });
      return { index: 1 };
    },
    (scene, ids) => then(scene, ids, delGid, { index: 1 }, false),
  ),
  sound(reqNotifyCq, ({ a }) => ({ cqn: a.cqn, flags: NotifyFlag.NEXT_COMPLETION })),
];

/** Every reason to refuse a command, one by one: the answer is ERR, and nothing has changed. */
import { describe, expect, it } from 'vitest';
import {
  AccessFlag,
  Command,
  NotifyFlag,
  QpAttrMask,
  QpState,
  QpType,
  addGidCommand,
  createAhCommand,
  delGidCommand,
  deregMrCommand,
  destroyAhCommand,
  destroyCqCommand,
  destroyPdCommand,
  destroyQpCommand,
  getDmaMrAck,
  getDmaMrCommand,
  queryPortAck,
  regUserMrCommand,
  writeLe64,
} from '../../src/abi/index.js';
import {
  MEMORY_BYTES,
  MEMORY_START,
  World,
  addressVector,
  bytesOf,
  defined,
  limits,
  smallCap,
  viewOf,
} from './guest.js';
import { lonelySide, side } from './pairs.js';
import type { Side, SideOptions } from './pairs.js';
import type { HcaFunction } from '../../src/reference/index.js';
import { asking, recording } from './recording.js';

interface Refusal {
  readonly id: string;
  readonly what: string;
  readonly options?: SideOptions;
  readonly prepare?: (s: Side, world: World) => void;
  /** Sends the command; undefined or false: it was refused. */
  readonly run: (s: Side, world: World) => unknown;
}

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ } = AccessFlag;
const NOBODY = 77;
const UNKNOWN_BIT = 1 << 30;

const region = (s: Side) => ({
  pdn: s.pdn,
  access_flags: LOCAL_WRITE,
  virt_addr: 0x5000_0123,
  length: 5000,
});
const twoPages = (s: Side): number[] => [s.buffer, s.buffer];
const dmaMr = (s: Side, fields: { pdn?: number; access_flags?: number }) =>
  s.guest.ask(
    Command.GET_DMA_MR,
    getDmaMrCommand,
    { pdn: s.pdn, access_flags: LOCAL_WRITE, ...fields },
    getDmaMrAck,
  );
const qp = (s: Side, fields: Parameters<Side['guest']['createQp']>[0]) =>
  s.guest.createQp({ pdn: s.pdn, send_cqn: s.cqn, recv_cqn: s.cqn, ...fields });
const cap = (fields: Partial<typeof smallCap>) => ({ cap: { ...smallCap, ...fields } });
const ah = (s: Side, fields: { pdn?: number; sgid?: number; flow?: number }) => {
  const ah_attr = addressVector(s.gid, fields.sgid ?? 0);
  ah_attr.grh.flow_label = fields.flow ?? 0;
  const data = bytesOf(createAhCommand, { pdn: fields.pdn ?? s.pdn, ah_attr });
  return s.guest.call(Command.CREATE_AH, data, 4);
};
const addGid = (s: Side, index: number, gid: Uint8Array) =>
  s.guest.request(Command.ADD_GID, addGidCommand, { index, gid });
const times = (count: number, act: () => unknown) => {
  for (let i = 0; i < count; i++) act();
};
/** Pages in the list of a command that says there are `npages`. */
const shortList = (s: Side, listed: number, npages: number, bytes: number, length = 5000) => {
  const data = new Uint8Array(regUserMrCommand.size + bytes);
  regUserMrCommand.encode(viewOf(data), 0, { ...regUserMrCommand.zero(), ...region(s), npages, length });
  for (let i = 0; i < listed; i++) writeLe64(viewOf(data), regUserMrCommand.size + 8 * i, s.buffer);
  return s.guest.call(Command.REG_USER_MR, data, 12);
};

const refusals: readonly Refusal[] = [
  { id: 'CTRL-33', what: 'CREATE_CQ with cqe 0', run: s => s.guest.createCq(0) },
  {
    id: 'CTRL-34',
    what: 'CREATE_CQ above max_cqe',
    run: s => s.guest.createCq(limits.attributes.maxCqe + 1),
  },
  {
    id: 'CTRL-35',
    what: 'CREATE_CQ above the size of its virtqueue',
    options: { queueSize: index => (index === 2 ? 8 : 16) },
    run: s => s.guest.createCq(9),
  },
  {
    id: 'CTRL-22',
    what: 'CREATE_CQ on a virtqueue that is not enabled',
    options: { queueSize: index => (index === 2 ? undefined : 16) },
    run: s => s.guest.createCq(1),
  },
  {
    id: 'CTRL-36',
    what: 'one completion queue more than max_rdma_cqs',
    prepare: s => times(limits.device.maxCqs - 1, () => defined(s.guest.createCq(1))),
    run: s => s.guest.createCq(1),
  },
  {
    id: 'CTRL-38',
    what: 'DESTROY_CQ of an unknown number',
    run: s => s.guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn: NOBODY }),
  },
  {
    id: 'RST-02',
    what: 'DESTROY_CQ while a queue pair uses it',
    run: s => s.guest.request(Command.DESTROY_CQ, destroyCqCommand, { cqn: s.cqn }),
  },
  {
    id: 'CTRL-39',
    what: 'REQ_NOTIFY_CQ of an unknown number',
    run: s => s.guest.arm(NOBODY, NotifyFlag.SOLICITED),
  },
  { id: 'CTRL-40', what: 'REQ_NOTIFY_CQ with flags 0', run: s => s.guest.arm(s.cqn, 0) },
  {
    id: 'CTRL-41',
    what: 'REQ_NOTIFY_CQ with an unknown flag',
    run: s => s.guest.arm(s.cqn, NotifyFlag.SOLICITED | 4),
  },
  {
    id: 'CTRL-46',
    what: 'one protection domain more than max_pd',
    prepare: s => times(limits.attributes.maxPd - 1, () => defined(s.guest.createPd())),
    run: s => s.guest.createPd(),
  },
  {
    id: 'CTRL-47',
    what: 'DESTROY_PD of an unknown number',
    run: s => s.guest.request(Command.DESTROY_PD, destroyPdCommand, { pdn: NOBODY }),
  },
  {
    id: 'RST-01',
    what: 'DESTROY_PD while something belongs to it',
    run: s => s.guest.request(Command.DESTROY_PD, destroyPdCommand, { pdn: s.pdn }),
  },
  { id: 'CTRL-48', what: 'GET_DMA_MR in an unknown domain', run: s => dmaMr(s, { pdn: NOBODY }) },
  { id: 'CTRL-49', what: 'GET_DMA_MR with an unknown right', run: s => dmaMr(s, { access_flags: 8 }) },
  {
    id: 'CTRL-50',
    what: 'GET_DMA_MR with remote and without local write',
    run: s => dmaMr(s, { access_flags: REMOTE_WRITE | REMOTE_READ }),
  },
  {
    id: 'CTRL-51',
    what: 'GET_DMA_MR beyond max_mr',
    prepare: s => times(limits.attributes.maxMr - 1, () => defined(dmaMr(s, {}))),
    run: s => dmaMr(s, {}),
  },
  {
    id: 'CTRL-53',
    what: 'REG_USER_MR in an unknown domain',
    run: s => s.guest.registerMr({ ...region(s), pdn: NOBODY }, twoPages(s)),
  },
  {
    id: 'CTRL-54',
    what: 'REG_USER_MR with an unknown right',
    run: s => s.guest.registerMr({ ...region(s), access_flags: 9 }, twoPages(s)),
  },
  {
    id: 'CTRL-55',
    what: 'REG_USER_MR with remote and without local write',
    run: s => s.guest.registerMr({ ...region(s), access_flags: REMOTE_WRITE }, twoPages(s)),
  },
  {
    id: 'CTRL-56',
    what: 'REG_USER_MR of no bytes',
    run: s => s.guest.registerMr({ ...region(s), length: 0 }, []),
  },
  {
    id: 'CTRL-56',
    what: 'REG_USER_MR of no bytes with a page',
    run: s => s.guest.registerMr({ ...region(s), length: 0 }, [s.buffer]),
  },
  {
    id: 'CTRL-57',
    what: 'REG_USER_MR above max_mr_size',
    run: s => {
      const length = limits.attributes.maxMrSizeBytes + 1;
      const pages = Array.from({ length: Math.ceil(length / 4096) }, () => s.buffer);
      return s.guest.registerMr({ ...region(s), virt_addr: 0, length }, pages);
    },
  },
  {
    id: 'CTRL-58',
    what: 'REG_USER_MR that wraps around',
    run: s => s.guest.registerMr({ ...region(s), virt_addr: 2 ** 64 - 4096, length: 4097 }, twoPages(s)),
  },
  {
    id: 'CTRL-59',
    what: 'REG_USER_MR beyond 2^53',
    run: s => s.guest.registerMr({ ...region(s), virt_addr: 2 ** 53 - 4096, length: 4097 }, twoPages(s)),
  },
  {
    id: 'CTRL-60',
    what: 'REG_USER_MR with a page too few',
    run: s => s.guest.registerMr(region(s), [s.buffer]),
  },
  {
    id: 'CTRL-61',
    what: 'REG_USER_MR with a page too many',
    run: s => s.guest.registerMr(region(s), [s.buffer, s.buffer, s.buffer]),
  },
  { id: 'CTRL-62', what: 'REG_USER_MR whose list is a page short', run: s => shortList(s, 1, 2, 8) },
  { id: 'CTRL-62', what: 'REG_USER_MR whose list is a byte short', run: s => shortList(s, 1, 2, 15) },
  {
    id: 'CTRL-62',
    what: 'REG_USER_MR whose long list is a page short',
    run: s => shortList(s, 64, 65, 64 * 8, limits.attributes.maxMrSizeBytes),
  },
  {
    id: 'CTRL-63',
    what: 'REG_USER_MR with a page that is not aligned',
    run: s => s.guest.registerMr(region(s), [s.buffer, s.buffer + 2048]),
  },
  {
    id: 'CTRL-64',
    what: 'REG_USER_MR with a page before guest memory',
    run: s => s.guest.registerMr(region(s), [s.buffer, MEMORY_START - 4096]),
  },
  {
    id: 'CTRL-64',
    what: 'REG_USER_MR with a page behind guest memory',
    run: s => s.guest.registerMr(region(s), [MEMORY_START + MEMORY_BYTES, s.buffer]),
  },
  {
    id: 'CTRL-65',
    what: 'REG_USER_MR beyond max_mr',
    prepare: s =>
      times(limits.attributes.maxMr - 1, () => defined(s.guest.registerMr(region(s), twoPages(s)))),
    run: s => s.guest.registerMr(region(s), twoPages(s)),
  },
  {
    id: 'CTRL-66',
    what: 'REG_USER_MR beyond the pages that the host keeps',
    options: { maxMrPages: 2 },
    run: s => s.guest.registerMr(region(s), twoPages(s)),
  },
  {
    id: 'CTRL-69',
    what: 'DEREG_MR of an unknown number',
    run: s => s.guest.request(Command.DEREG_MR, deregMrCommand, { mrn: NOBODY }),
  },
  { id: 'CTRL-70', what: 'CREATE_QP in an unknown domain', run: s => qp(s, { pdn: NOBODY }) },
  { id: 'CTRL-71', what: 'CREATE_QP with an unknown send_cqn', run: s => qp(s, { send_cqn: NOBODY }) },
  { id: 'CTRL-71', what: 'CREATE_QP with a send_cqn that is free', run: s => qp(s, { send_cqn: s.cqn + 1 }) },
  { id: 'CTRL-72', what: 'CREATE_QP with an unknown recv_cqn', run: s => qp(s, { recv_cqn: NOBODY }) },
  { id: 'CTRL-73', what: 'CREATE_QP of type SMI', run: s => qp(s, { qp_type: QpType.SMI }) },
  { id: 'CTRL-74', what: 'CREATE_QP of an unknown type', run: s => qp(s, { qp_type: 5 }) },
  { id: 'CTRL-75', what: 'CREATE_QP with sq_sig_all 2', run: s => qp(s, { sq_sig_all: 2 }) },
  {
    id: 'CTRL-76',
    what: 'CREATE_QP with max_send_wr above the limit',
    run: s => qp(s, cap({ max_send_wr: 17 })),
  },
  {
    id: 'CTRL-76',
    what: 'CREATE_QP with max_recv_wr above the limit',
    run: s => qp(s, cap({ max_recv_wr: 17 })),
  },
  {
    id: 'CTRL-77',
    what: 'CREATE_QP with max_send_wr above the size of its virtqueue',
    options: { queueSize: index => (index === 11 ? 8 : 16) },
    run: s => qp(s, cap({ max_send_wr: 9 })),
  },
  {
    id: 'CTRL-77',
    what: 'CREATE_QP with max_recv_wr above the size of its virtqueue',
    options: { queueSize: index => (index === 12 ? 8 : 16) },
    run: s => qp(s, cap({ max_recv_wr: 9 })),
  },
  {
    id: 'CTRL-23',
    what: 'CREATE_QP on a send queue that is not enabled',
    options: { queueSize: index => (index === 11 ? undefined : 16) },
    run: s => qp(s, {}),
  },
  {
    id: 'CTRL-23',
    what: 'CREATE_QP on a receive queue that is not enabled',
    options: { queueSize: index => (index === 12 ? undefined : 16) },
    run: s => qp(s, {}),
  },
  {
    id: 'CTRL-78',
    what: 'CREATE_QP with max_send_sge above the limit',
    run: s => qp(s, cap({ max_send_sge: 5 })),
  },
  {
    id: 'CTRL-79',
    what: 'CREATE_QP with max_recv_sge above the limit',
    run: s => qp(s, cap({ max_recv_sge: 4 })),
  },
  {
    id: 'CTRL-80',
    what: 'CREATE_QP with max_inline_data above 512',
    run: s => qp(s, cap({ max_inline_data: 513 })),
  },
  {
    id: 'CTRL-81',
    what: 'a second CREATE_QP of type GSI',
    prepare: s => defined(qp(s, { qp_type: QpType.GSI })),
    run: s => qp(s, { qp_type: QpType.GSI }),
  },
  {
    id: 'CTRL-82',
    what: 'CREATE_QP when all pairs are taken',
    prepare: s => times(limits.device.maxQps - 3, () => defined(qp(s, {}))),
    run: s => qp(s, {}),
  },
  {
    id: 'CTRL-84',
    what: 'MODIFY_QP of an unknown number',
    run: s => s.guest.modifyQp({ qpn: NOBODY, attr_mask: QpAttrMask.STATE, qp_state: QpState.ERR }),
  },
  {
    id: 'CTRL-84',
    what: 'MODIFY_QP of pair 0, which is never used',
    run: s => s.guest.modifyQp({ qpn: 0, attr_mask: QpAttrMask.STATE, qp_state: QpState.ERR }),
  },
  ...[17, 20, 31].map(bit => ({
    id: 'CTRL-85',
    what: `MODIFY_QP with mask bit ${bit}`,
    run: (s: Side) =>
      s.guest.modifyQp({
        qpn: s.qpn,
        attr_mask: (QpAttrMask.STATE | QpAttrMask.ACCESS_FLAGS | (1 << bit)) >>> 0,
        qp_state: QpState.INIT,
      }),
  })),
  ...(['CAP', 'RATE_LIMIT'] as const).map(name => ({
    id: name === 'CAP' ? 'CTRL-86' : 'CTRL-87',
    what: `MODIFY_QP with ${name}`,
    run: (s: Side) =>
      s.guest.modifyQp({
        qpn: s.qpn,
        attr_mask: QpAttrMask.STATE | QpAttrMask.ACCESS_FLAGS | QpAttrMask[name],
        qp_state: QpState.INIT,
        cap: smallCap,
      }),
  })),
  {
    id: 'QP-29',
    what: 'MODIFY_QP to state 7',
    run: s => s.guest.modifyQp({ qpn: s.qpn, attr_mask: QpAttrMask.STATE, qp_state: 7 }),
  },
  {
    id: 'QP-29',
    what: 'MODIFY_QP from state 7',
    run: s =>
      s.guest.modifyQp({
        qpn: s.qpn,
        attr_mask: QpAttrMask.STATE | QpAttrMask.CUR_STATE,
        qp_state: QpState.ERR,
        cur_qp_state: 7,
      }),
  },
  { id: 'CTRL-89', what: 'QUERY_QP of an unknown number', run: s => s.guest.queryQp(NOBODY) },
  {
    id: 'CTRL-93',
    what: 'DESTROY_QP of an unknown number',
    run: s => s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: NOBODY }),
  },
  { id: 'CTRL-94', what: 'CREATE_AH in an unknown domain', run: s => ah(s, { pdn: NOBODY }) },
  { id: 'CTRL-95', what: 'CREATE_AH with a sgid_index behind the table', run: s => ah(s, { sgid: 4 }) },
  { id: 'CTRL-95', what: 'CREATE_AH with a sgid_index of an empty entry', run: s => ah(s, { sgid: 1 }) },
  { id: 'CTRL-96', what: 'CREATE_AH with a flow label of 21 bits', run: s => ah(s, { flow: 2 ** 20 }) },
  {
    id: 'CTRL-97',
    what: 'CREATE_AH beyond max_ah',
    prepare: s => times(limits.attributes.maxAh, () => defined(ah(s, {}))),
    run: s => ah(s, {}),
  },
  {
    id: 'CTRL-99',
    what: 'DESTROY_AH of an unknown number',
    run: s => s.guest.request(Command.DESTROY_AH, destroyAhCommand, { pdn: s.pdn, ah: NOBODY }),
  },
  {
    id: 'CTRL-100',
    what: 'DESTROY_AH with another domain than its own',
    prepare: s => {
      defined(s.guest.createPd());
      defined(s.guest.createAh(s.pdn, s.gid));
    },
    run: s => s.guest.request(Command.DESTROY_AH, destroyAhCommand, { pdn: s.pdn + 1, ah: 1 }),
  },
  { id: 'CTRL-101', what: 'ADD_GID behind the table', run: (s, world) => addGid(s, 4, world.newGid()) },
  {
    id: 'CTRL-102',
    what: 'ADD_GID of a GID that another machine has',
    run: (s, world) => addGid(s, 1, side(world).gid),
  },
  { id: 'CTRL-103', what: 'ADD_GID of a GID in another entry', run: s => addGid(s, 1, s.gid) },
  { id: 'CTRL-104', what: 'ADD_GID of sixteen zero bytes', run: s => addGid(s, 1, new Uint8Array(16)) },
  {
    id: 'CTRL-106',
    what: 'DEL_GID behind the table',
    run: s => s.guest.request(Command.DEL_GID, delGidCommand, { index: 4 }),
  },
  {
    id: 'CTRL-107',
    what: 'DEL_GID of an empty entry',
    run: s => s.guest.request(Command.DEL_GID, delGidCommand, { index: 1 }),
  },
  {
    id: 'CTRL-21',
    what: 'DEREG_MR of the number of a protection domain that no region has',
    prepare: s => defined(s.guest.createPd()),
    run: s => s.guest.request(Command.DEREG_MR, deregMrCommand, { mrn: s.mrn + 1 }),
  },
  {
    id: 'RST-03',
    what: 'a second destroy of the same queue pair',
    prepare: s => s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn }),
    run: s => s.guest.request(Command.DESTROY_QP, destroyQpCommand, { qpn: s.qpn }),
  },
  {
    id: 'RST-26',
    what: 'DEREG_MR of a region that is gone',
    prepare: s => s.guest.request(Command.DEREG_MR, deregMrCommand, { mrn: s.mrn }),
    run: s => s.guest.request(Command.DEREG_MR, deregMrCommand, { mrn: s.mrn }),
  },
];

/** What a device may leave to its HCA; everything else it must find itself, whatever the HCA checks. */
const leftToTheHca = new Set([
  'RST-01',
  'RST-02',
  'CTRL-76',
  'CTRL-78',
  'CTRL-79',
  'CTRL-80',
  'CTRL-95',
  'CTRL-96',
  'CTRL-101',
  'CTRL-102',
  'CTRL-103',
  'CTRL-104',
  'CTRL-106',
  'CTRL-107',
]);

describe('refuses and changes nothing:', () => {
  for (const { id, what, options, prepare, run } of refusals) {
    it(`[${id}] [CTRL-14] ${what}`, () => {
      const asked: string[] = [];
      const done: string[] = [];
      const wrap = (hca: HcaFunction) => recording(done)(asking(asked)(hca));
      const world = new World();
      const s = side(world, { ...options, wrap });
      prepare?.(s, world);
      const state = s.guest.queryQp(s.qpn);
      asked.length = 0;
      done.length = 0;
      expect(run(s, world) || undefined).toBeUndefined();
      expect(done).toEqual([]);
      if (!leftToTheHca.has(id)) expect(asked).toEqual([]);
      expect(s.guest.queryQp(s.qpn)).toEqual(state);
      expect(s.guest.needsReset).toBe(false);
    });
  }

  it('[CTRL-16] and goes on serving', () => {
    const s = lonelySide(new World());
    for (const { run } of refusals.slice(0, 3)) run(s, s.guest.world);
    s.guest.request(Command.DEREG_MR, deregMrCommand, { mrn: UNKNOWN_BIT });
    expect(s.guest.call(Command.QUERY_PORT, new Uint8Array(0), queryPortAck.size)).toBeDefined();
  });
});

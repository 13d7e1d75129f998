/**
 * Ready-made scenes: a machine with one of everything, queue pairs connected between machines, and the question whether
 * something has changed that must not have.
 */
import { AccessFlag, PathMtu, QpAttrMask, QpState, QpType, WcStatus } from '../../../abi/index.js';
import type { StructValue, createQpCommand, modifyQpCommand, regUserMrAck } from '../../../abi/index.js';
import { Bench } from './bench.js';
import type { BenchOptions } from './bench.js';
import type { CaseContext } from '../../cases/case.js';
import type { ProbeMachine } from './machine.js';
import {
  addGid,
  addressVector,
  createAh,
  createCq,
  createPd,
  createQp,
  gidOf,
  modifyQp,
  pagesOf,
  regUserMr,
  regUserMrBytes,
} from './messages.js';

export type Region = StructValue<typeof regUserMrAck> & { readonly address: number; readonly length: number };

/** One machine with one of everything. */
export interface Side {
  readonly machine: ProbeMachine;
  /** Entry 0 of the GID table. */
  readonly gid: Uint8Array;
  readonly pdn: number;
  /** A protection domain with nothing in it. */
  readonly otherPdn: number;
  /** Region of all rights over {@link BUFFER_BYTES} bytes of page-aligned memory, at its own address. */
  readonly region: Region;
  readonly cqn: number;
  readonly qpn: number;
  readonly type: number;
}

export interface SideOptions {
  readonly type?: number;
  readonly cqe?: number;
  /** Completion buffers; `cqe` of them when absent. */
  readonly buffers?: number;
  readonly sqSigAll?: number;
  readonly cap?: Partial<typeof smallCap>;
}

export const BUFFER_BYTES = 2 * 4096;
export const ALL_RIGHTS = AccessFlag.LOCAL_WRITE | AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;
export const QKEY = 0x1111;

export const smallCap = {
  max_send_wr: 8,
  max_recv_wr: 8,
  max_send_sge: 3,
  max_recv_sge: 3,
  max_inline_data: 128,
};

/** Fills a machine with one of everything; its queue pair is in RESET. */
export function furnish(machine: ProbeMachine, options: SideOptions = {}): Side {
  return machine.scene('has one of everything', () => furnished(machine, options));
}

function furnished(machine: ProbeMachine, options: SideOptions): Side {
  const type = options.type ?? QpType.RC;
  const cqe = options.cqe ?? 16;
  const gid = gidOf(machine.vm);
  machine.must(addGid, { index: 0, gid });
  const { pdn } = machine.must(createPd);
  const { pdn: otherPdn } = machine.must(createPd);
  const region = register(machine, pdn, machine.alloc(BUFFER_BYTES, 4096), BUFFER_BYTES);
  const { cqn } = machine.must(createCq, { cqe });
  machine.addBuffers(cqn, options.buffers ?? cqe);
  const { qpn } = machine.must(
    createQp,
    qpFields({ pdn, cqn }, { qp_type: type, sq_sig_all: options.sqSigAll ?? 0 }, options.cap),
  );
  return { machine, gid, pdn, otherPdn, region, cqn, qpn, type };
}

export function qpFields(
  { pdn, cqn }: { readonly pdn: number; readonly cqn: number },
  fields: Partial<StructValue<typeof createQpCommand>> = {},
  cap: Partial<typeof smallCap> = {},
): StructValue<typeof createQpCommand> {
  return {
    pdn,
    qp_type: QpType.RC,
    sq_sig_all: 0,
    send_cqn: cqn,
    recv_cqn: cqn,
    cap: { ...smallCap, ...cap },
    ...fields,
  };
}

/** Registers memory at its own address. The device may write it from here on if LOCAL_WRITE is among the rights. */
export function register(
  machine: ProbeMachine,
  pdn: number,
  address: number,
  length: number,
  access: number = ALL_RIGHTS,
): Region {
  const fields = { pdn, access_flags: access, virt_addr: address, length };
  const keys = machine.must(regUserMr, regUserMrBytes(fields, pagesOf(address, length)));
  if ((access & AccessFlag.LOCAL_WRITE) !== 0) machine.memory.permit(address, length);
  return { ...keys, address, length };
}

type Modify = Partial<StructValue<typeof modifyQpCommand>>;

const { STATE, ACCESS_FLAGS, AV, PATH_MTU, DEST_QPN, RQ_PSN, MAX_DEST_RD_ATOMIC, MIN_RNR_TIMER } = QpAttrMask;
const { TIMEOUT, RETRY_CNT, RNR_RETRY, SQ_PSN, MAX_QP_RD_ATOMIC, QKEY: QKEY_MASK } = QpAttrMask;

/** The modifies that lead from RESET to RTS, each with just what its row requires. */
export function wayUp(type: number, peerGid: Uint8Array, peerQpn: number): readonly Modify[] {
  const rights = AccessFlag.REMOTE_WRITE | AccessFlag.REMOTE_READ;
  if (type === QpType.UD || type === QpType.GSI) {
    return [
      { qp_state: QpState.INIT, attr_mask: STATE | QKEY_MASK, qkey: QKEY },
      { qp_state: QpState.RTR, attr_mask: STATE },
      { qp_state: QpState.RTS, attr_mask: STATE | SQ_PSN, sq_psn: 100 },
    ];
  }
  const rc = type === QpType.RC;
  return [
    { qp_state: QpState.INIT, attr_mask: STATE | ACCESS_FLAGS, qp_access_flags: rights },
    {
      qp_state: QpState.RTR,
      attr_mask: STATE | AV | PATH_MTU | DEST_QPN | RQ_PSN | (rc ? MAX_DEST_RD_ATOMIC | MIN_RNR_TIMER : 0),
      ah_attr: addressVector(peerGid),
      path_mtu: PathMtu.MTU_1024,
      dest_qp_num: peerQpn,
      rq_psn: 100,
      max_dest_rd_atomic: 4,
      min_rnr_timer: 1,
    },
    {
      qp_state: QpState.RTS,
      attr_mask: STATE | SQ_PSN | (rc ? TIMEOUT | RETRY_CNT | RNR_RETRY | MAX_QP_RD_ATOMIC : 0),
      sq_psn: 100,
      timeout: 10,
      retry_cnt: 2,
      rnr_retry: 1,
      max_rd_atomic: 4,
    },
  ];
}

/** Leads a queue pair from RESET towards RTS, to `until` at most. */
export function connect(
  { machine, qpn, type }: Pick<Side, 'machine' | 'qpn' | 'type'>,
  peer: { readonly gid: Uint8Array; readonly qpn: number },
  until: number = QpState.RTS,
): void {
  const steps = wayUp(type, peer.gid, peer.qpn).filter(step => (step.qp_state ?? 0) <= until);
  machine.scene(`leads queue pair ${qpn} from RESET to state ${until}`, () => {
    for (const step of steps) machine.must(modifyQp, { qpn, ...step }, ['QP-32']);
  });
}

/** A scene of two machines, each furnished, their queue pairs connected with each other. */
export interface Pair {
  readonly bench: Bench;
  readonly a: Side;
  readonly b: Side;
}

export function pairOf(
  context: CaseContext,
  options: SideOptions & BenchOptions & { readonly peer?: SideOptions } = {},
): Pair {
  const bench = new Bench(context, options);
  const text = 'both machines have one of everything, and their queue pairs are connected';
  return bench.scene('probe', text, () => {
    const a = furnish(bench.me, options);
    const b = furnish(bench.neighbour, options.peer ?? options);
    connect(a, b);
    connect(b, a);
    return { bench, a, b };
  });
}

/** A furnished machine whose queue pair is in RTS and talks to nobody: what it sends stays unanswered. */
export function lonely(
  context: CaseContext,
  options: SideOptions & BenchOptions = {},
): { readonly bench: Bench; readonly a: Side } {
  const bench = new Bench(context, options);
  const text = 'the machine has one of everything, and its queue pair is connected with nobody';
  return bench.scene('probe', text, () => {
    const a = furnish(bench.me, options);
    connect(a, { gid: gidOf(77), qpn: 2 });
    return { bench, a };
  });
}

/** An address handle for a peer's GID. */
export function handleFor(a: Side, peerGid: Uint8Array): number {
  return a.machine.must(createAh, { pdn: a.pdn, ah_attr: addressVector(peerGid) }).ah;
}

/** Sends `length` patterned bytes inline from one side to a posted receive of the other, and checks both completions and the bytes. */
export function exchange(pair: Pair, requirements: readonly string[], length = 32): void {
  pair.bench.scene(pair.a.machine.name, 'sends a message, which arrives', () =>
    sendAndCheck(pair, requirements, length),
  );
}

function sendAndCheck({ bench, a, b }: Pair, requirements: readonly string[], length: number): void {
  const inline = Uint8Array.from({ length }, (_, i) => (i * 5 + length) & 0xff);
  const { address, lkey } = b.region;
  b.machine.postRecv(b.qpn, 0x2000, [{ addr: address, length: 256, lkey }]);
  a.machine.postSend(a.qpn, { wrId: 0x1000, inline });
  bench.run();
  const outcome = [a, b].map(side =>
    side.machine.poll(side.cqn).map(({ wr_id, status, qp_num }) => ({ wr_id, status, qp_num })),
  );
  bench.same(requirements, `a message of ${length} bytes between connected queue pairs completes`, outcome, [
    [{ wr_id: 0x1000, status: WcStatus.SUCCESS, qp_num: a.qpn }],
    [{ wr_id: 0x2000, status: WcStatus.SUCCESS, qp_num: b.qpn }],
  ]);
  bench.same(requirements, 'its bytes arrive', [...b.machine.memory.copy(address, length)], [...inline]);
}

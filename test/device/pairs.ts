/** Ready-made set-ups: guests with a protection domain, a region, a completion queue and connected queue pairs. */
import { PathMtu, QpAttrMask, QpState, QpType } from '../../src/abi/index.js';
import { Guest, addressVector, defined, gidOf, smallCap } from './guest.js';
import type { GuestOptions, World } from './guest.js';

export interface Side {
  readonly guest: Guest;
  readonly gid: Uint8Array;
  readonly pdn: number;
  readonly cqn: number;
  readonly qpn: number;
  /** 4096 bytes of registered memory; their own address is their address in requests. */
  readonly buffer: number;
  readonly mrn: number;
  readonly lkey: number;
  readonly rkey: number;
}

export interface SideOptions extends GuestOptions {
  readonly type?: number;
  readonly cqe?: number;
  /** Buffers made available on the completion virtqueue; `cqe` of them unless said otherwise. */
  readonly buffers?: number;
  readonly sqSigAll?: number;
  readonly cap?: typeof smallCap;
}

const QKEY = 0x11;

/** A guest with one of everything; its queue pair is in RESET. */
export function side(world: World, options: SideOptions = {}): Side {
  const guest = new Guest(world, options);
  const gid = world.newGid();
  if (!guest.addGid(0, gid)) throw new Error('GID refused');
  const cqe = options.cqe ?? 16;
  const pdn = defined(guest.createPd());
  guest.addBuffers(0, options.buffers ?? cqe);
  const cqn = defined(guest.createCq(cqe));
  const qpn = defined(
    guest.createQp({
      pdn,
      qp_type: options.type ?? QpType.RC,
      send_cqn: cqn,
      recv_cqn: cqn,
      sq_sig_all: options.sqSigAll ?? 0,
      cap: options.cap ?? smallCap,
    }),
  );
  const buffer = guest.alloc(4096, 4096);
  const { mrn, lkey, rkey } = guest.registerAt(pdn, buffer, 4096);
  return { guest, gid, pdn, cqn, qpn, buffer, mrn, lkey, rkey };
}

/** Two guests with connected RC queue pairs in RTS. */
export function pairOfGuests(
  world: World,
  optionsA: SideOptions = {},
  optionsB: SideOptions = {},
): { a: Side; b: Side } {
  const a = side(world, optionsA);
  const b = side(world, optionsB);
  a.guest.connectRc(a.qpn, b.gid, b.qpn);
  b.guest.connectRc(b.qpn, a.gid, a.qpn);
  return { a, b };
}

/** A guest whose queue pair is in RTS but connected with nobody: what it sends is lost, what it is posted stays. */
export function lonelySide(world: World, options: SideOptions = {}): Side {
  const lonely = side(world, options);
  lonely.guest.connectRc(lonely.qpn, gidOf(0xdead), 2);
  return lonely;
}

/** Two guests with UD queue pairs in RTS. */
export function datagramPair(
  world: World,
  optionsA: SideOptions = {},
  optionsB: SideOptions = {},
): { a: Side; b: Side; qkey: number } {
  const a = side(world, { type: QpType.UD, ...optionsA });
  const b = side(world, { type: QpType.UD, ...optionsB });
  a.guest.startUd(a.qpn, QKEY);
  b.guest.startUd(b.qpn, QKEY);
  return { a, b, qkey: QKEY };
}

/** Two guests with connected UC queue pairs in RTS. */
export function pairOnUc(
  world: World,
  optionsA: SideOptions = {},
  optionsB: SideOptions = {},
): { a: Side; b: Side } {
  const a = side(world, { type: QpType.UC, ...optionsA });
  const b = side(world, { type: QpType.UC, ...optionsB });
  startUc(a, b);
  startUc(b, a);
  return { a, b };
}

function startUc({ guest, qpn }: Side, peer: Side): void {
  const { STATE, ACCESS_FLAGS, AV, PATH_MTU, DEST_QPN, RQ_PSN, SQ_PSN } = QpAttrMask;
  const steps = [
    { qp_state: QpState.INIT, attr_mask: STATE | ACCESS_FLAGS, qp_access_flags: 6 },
    {
      qp_state: QpState.RTR,
      attr_mask: STATE | AV | PATH_MTU | DEST_QPN | RQ_PSN,
      ah_attr: addressVector(peer.gid),
      path_mtu: PathMtu.MTU_1024,
      dest_qp_num: peer.qpn,
    },
    { qp_state: QpState.RTS, attr_mask: STATE | SQ_PSN },
  ];
  for (const step of steps) {
    if (!guest.modifyQp({ qpn, ...step })) throw new Error(`state ${step.qp_state} was refused`);
  }
}

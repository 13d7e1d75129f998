/**
 * What an honest device answers: numbers by the rules of chapters 5 and 6, keys that are new, limits that are small. The
 * bench answers with it where a case does not say otherwise.
 */
import {
  AccessFlag,
  Command,
  QpAttrMask,
  QpState,
  QpType,
  createQpCommand,
  destroyCqCommand,
  destroyQpCommand,
  getDmaMrCommand,
  modifyQpCommand,
  queryDeviceAck,
  queryPortAck,
  queryQpAck,
  queryQpCommand,
  regUserMrCommand,
} from '../../../abi/index.js';
import type { StructValue } from '../../../abi/index.js';
import type { TakenCommand } from './commands.js';
import { bytesOf, words } from './encode.js';

export type DeviceAnswer = StructValue<typeof queryDeviceAck>;

/** Small, so that cases reach them. */
export const soundLimits: DeviceAnswer = {
  device_cap_flags: 1,
  max_mr_size: 1 << 20,
  page_size_cap: 4096,
  hw_ver: 7,
  max_qp_wr: 8,
  max_send_sge: 4,
  max_recv_sge: 3,
  max_sge_rd: 2,
  max_cqe: 8,
  max_mr: 3,
  max_pd: 3,
  max_qp_rd_atom: 8,
  max_qp_init_rd_atom: 8,
  max_ah: 3,
  local_ca_ack_delay: 4,
};
export const soundPort = { gid_tbl_len: 8, max_msg_sz: 64 * 1024 };

/** A queue pair as far as the driver can ask about it. */
interface ProbeQp {
  state: QpState;
  readonly cap: StructValue<typeof createQpCommand>['cap'];
}

/** What an honest device does to the rings of an object when it goes. */
export interface Rings {
  returnAll(kind: 'cq' | 'sq' | 'rq', number: number): void;
}

export class SoundAnswers {
  readonly limits: DeviceAnswer;
  readonly #rings: Rings;
  readonly #cqs = new Set<number>();
  readonly #qps = new Map<number, ProbeQp>();
  readonly #maxCqs: number;
  readonly #maxQps: number;
  #numbers = 0;
  #keys = 0;

  constructor(rings: Rings, limits: DeviceAnswer, maxCqs: number, maxQps: number) {
    this.#rings = rings;
    this.limits = limits;
    this.#maxCqs = maxCqs;
    this.#maxQps = maxQps;
  }

  /** Every object is gone. */
  reset(): void {
    this.#cqs.clear();
    this.#qps.clear();
  }

  /** The result bytes of a command that is carried out; undefined refuses it. */
  carryOut(command: TakenCommand): Uint8Array | undefined {
    // An attack may have cut it short where it lay.
    if (!command.isWhole) return undefined;
    switch (command.code) {
      case Command.QUERY_DEVICE:
        return bytesOf(queryDeviceAck, this.limits);
      case Command.QUERY_PORT:
        return bytesOf(queryPortAck, soundPort);
      case Command.CREATE_PD:
        return words(0x100 + this.#numbers++);
      case Command.CREATE_AH:
        return words(0x300 + this.#numbers++);
      case Command.REG_USER_MR:
        return this.#region(command.decode(regUserMrCommand).access_flags);
      case Command.GET_DMA_MR:
        return this.#region(command.decode(getDmaMrCommand).access_flags);
      case Command.CREATE_CQ:
        return this.#createCq();
      case Command.CREATE_QP:
        return this.#createQp(command.decode(createQpCommand));
      case Command.DESTROY_CQ: {
        const { cqn } = command.decode(destroyCqCommand);
        if (!this.#cqs.delete(cqn)) return undefined;
        this.#rings.returnAll('cq', cqn);
        return new Uint8Array(0);
      }
      case Command.DESTROY_QP: {
        const { qpn } = command.decode(destroyQpCommand);
        if (!this.#qps.delete(qpn)) return undefined;
        this.#discard(qpn);
        return new Uint8Array(0);
      }
      case Command.MODIFY_QP:
        return this.#modify(command.decode(modifyQpCommand));
      case Command.QUERY_QP:
        return this.#query(command.decode(queryQpCommand).qpn);
      default:
        return new Uint8Array(0);
    }
  }

  #region(access: number): Uint8Array {
    const key = ++this.#keys << 8;
    const remote = (access & (AccessFlag.REMOTE_READ | AccessFlag.REMOTE_WRITE)) !== 0;
    return words(0x200 + this.#numbers++, key, remote ? key : 0);
  }

  #createCq(): Uint8Array | undefined {
    for (let cqn = 0; cqn < this.#maxCqs; cqn++) {
      if (this.#cqs.has(cqn)) continue;
      this.#cqs.add(cqn);
      return words(cqn);
    }
    return undefined;
  }

  #createQp({ qp_type: type, cap }: StructValue<typeof createQpCommand>): Uint8Array | undefined {
    const [first, end] = type === QpType.GSI ? [1, 2] : [2, this.#maxQps];
    for (let qpn = first; qpn < end; qpn++) {
      if (this.#qps.has(qpn)) continue;
      this.#qps.set(qpn, { state: QpState.RESET, cap });
      return words(qpn);
    }
    return undefined;
  }

  #modify({
    qpn,
    attr_mask: mask,
    qp_state: to,
  }: StructValue<typeof modifyQpCommand>): Uint8Array | undefined {
    const qp = this.#qps.get(qpn);
    if (qp === undefined) return undefined;
    if ((mask & QpAttrMask.STATE) === 0) return new Uint8Array(0);
    if (!isState(to)) return undefined;
    qp.state = to;
    if (to === QpState.RESET) this.#discard(qpn);
    return new Uint8Array(0);
  }

  #query(qpn: number): Uint8Array | undefined {
    const qp = this.#qps.get(qpn);
    if (qp === undefined) return undefined;
    return bytesOf(queryQpAck, { ...queryQpAck.zero(), qp_state: qp.state, cap: qp.cap });
  }

  #discard(qpn: number): void {
    this.#rings.returnAll('sq', qpn);
    this.#rings.returnAll('rq', qpn);
  }
}

function isState(value: number): value is QpState {
  return value <= QpState.ERR;
}

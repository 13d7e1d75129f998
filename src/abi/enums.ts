/**
 * The enumerations and flag sets of the RDMA commands and requests, with the numbers of RFC v2 ("virtio-net: Add RoCE
 * (RDMA over Converged Ethernet) support", 11 May 2022). Where they differ from the verbs numbers is noted.
 */
import { enumeration, flagSet } from './enumeration.js';

export const commands = enumeration('virtio_rdma_command', 'Control command codes', {
  QUERY_DEVICE: [0, 'Read the limits of the device'],
  QUERY_PORT: [1, 'Read the limits of the port'],
  CREATE_CQ: [2, 'Create a completion queue'],
  DESTROY_CQ: [3, 'Destroy a completion queue'],
  CREATE_PD: [4, 'Create a protection domain'],
  DESTROY_PD: [5, 'Destroy a protection domain'],
  GET_DMA_MR: [6, 'Register all guest memory'],
  REG_USER_MR: [7, 'Register a memory region by its page list'],
  DEREG_MR: [8, 'Deregister a memory region'],
  CREATE_QP: [9, 'Create a queue pair'],
  MODIFY_QP: [10, "Change a queue pair's state and attributes"],
  QUERY_QP: [11, "Read a queue pair's state and attributes"],
  DESTROY_QP: [12, 'Destroy a queue pair'],
  CREATE_AH: [13, 'Create an address handle'],
  DESTROY_AH: [14, 'Destroy an address handle'],
  ADD_GID: [15, 'Set an entry of the GID table'],
  DEL_GID: [16, 'Clear an entry of the GID table'],
  REQ_NOTIFY_CQ: [17, 'Arm a completion queue'],
});
export const Command = commands.values;
export type Command = (typeof Command)[keyof typeof Command];

export const acks = enumeration('virtio_rdma_ack', 'First byte of every answer', {
  OK: [0, 'The command took effect'],
  ERR: [1, 'The command was refused and changed nothing'],
});
export const Ack = acks.values;

export const accessFlags = flagSet('access_flags', 'Rights on a memory region or a queue pair', {
  LOCAL_WRITE: [1, 'The device may write on behalf of a local receive or read'],
  REMOTE_WRITE: [2, 'The peer may write'],
  REMOTE_READ: [4, 'The peer may read'],
});
export const AccessFlag = accessFlags.values;

export const qpTypes = enumeration('qp_type', 'Transport service of a queue pair', {
  SMI: [0, 'Subnet management; cannot be created on RoCE'],
  GSI: [1, 'General services, queue pair number 1; datagrams'],
  RC: [2, 'Reliable connected'],
  UC: [3, 'Unreliable connected'],
  UD: [4, 'Unreliable datagram'],
});
export const QpType = qpTypes.values;
export type QpType = (typeof QpType)[keyof typeof QpType];

export const qpStates = enumeration('qp_state', 'States of a queue pair', {
  RESET: [0, 'Created; nothing may be posted'],
  INIT: [1, 'Receives may be posted; none is used'],
  RTR: [2, 'Ready to receive'],
  RTS: [3, 'Ready to send'],
  SQD: [4, 'Send queue drained or draining'],
  SQE: [5, 'Send queue error; receiving goes on'],
  ERR: [6, 'Error; all work is flushed'],
});
export const QpState = qpStates.values;
export type QpState = (typeof QpState)[keyof typeof QpState];

export const qpAttrMasks = flagSet(
  'qp_attr_mask',
  'Attributes named by MODIFY_QP and QUERY_QP (not the verbs bit order)',
  {
    STATE: [1 << 0, 'qp_state'],
    CUR_STATE: [1 << 1, 'cur_qp_state'],
    ACCESS_FLAGS: [1 << 2, 'qp_access_flags'],
    QKEY: [1 << 3, 'qkey'],
    AV: [1 << 4, 'ah_attr'],
    PATH_MTU: [1 << 5, 'path_mtu'],
    TIMEOUT: [1 << 6, 'timeout'],
    RETRY_CNT: [1 << 7, 'retry_cnt'],
    RNR_RETRY: [1 << 8, 'rnr_retry'],
    RQ_PSN: [1 << 9, 'rq_psn'],
    MAX_QP_RD_ATOMIC: [1 << 10, 'max_rd_atomic'],
    MIN_RNR_TIMER: [1 << 11, 'min_rnr_timer'],
    SQ_PSN: [1 << 12, 'sq_psn'],
    MAX_DEST_RD_ATOMIC: [1 << 13, 'max_dest_rd_atomic'],
    CAP: [1 << 14, 'cap'],
    DEST_QPN: [1 << 15, 'dest_qp_num'],
    RATE_LIMIT: [1 << 16, 'rate_limit'],
  },
);
export const QpAttrMask = qpAttrMasks.values;

export const pathMtus = enumeration('path_mtu', 'Path MTU codes', {
  MTU_256: [1, '256 bytes'],
  MTU_512: [2, '512 bytes'],
  MTU_1024: [3, '1024 bytes'],
  MTU_2048: [4, '2048 bytes'],
  MTU_4096: [5, '4096 bytes'],
});
export const PathMtu = pathMtus.values;

/** Bytes of a path MTU code 1..5. */
export function pathMtuBytes(code: number): number {
  return 128 << code;
}

export const wrOpcodes = enumeration('wr_opcode', 'Send work request opcodes', {
  RDMA_WRITE: [0, 'Write to peer memory'],
  RDMA_WRITE_WITH_IMM: [1, 'Write to peer memory and complete one of its receives'],
  SEND: [2, 'Send a message'],
  SEND_WITH_IMM: [3, 'Send a message with four bytes of immediate data'],
  RDMA_READ: [4, 'Read from peer memory'],
});
export const WrOpcode = wrOpcodes.values;
export type WrOpcode = (typeof WrOpcode)[keyof typeof WrOpcode];

export const sendFlags = flagSet('send_flags', 'Send work request flags', {
  FENCE: [1, 'Do not start before earlier reads of this queue are complete'],
  SIGNALED: [2, 'Complete with a completion queue entry also on success'],
  SOLICITED: [4, "Count as solicited at the receiver's completion queue"],
  INLINE: [8, 'Data stands in the request; no key is used'],
});
export const SendFlag = sendFlags.values;

export const wcOpcodes = enumeration(
  'wc_opcode',
  'Completion opcodes (verbs has 128 and 129 for the two receives)',
  {
    SEND: [0, 'A send, with or without immediate'],
    RDMA_WRITE: [1, 'A write, with or without immediate'],
    RDMA_READ: [2, 'A read'],
    RECV: [3, 'A receive filled by a send'],
    RECV_RDMA_WITH_IMM: [4, 'A receive used by a write with immediate'],
  },
);
export const WcOpcode = wcOpcodes.values;
export type WcOpcode = (typeof WcOpcode)[keyof typeof WcOpcode];

export const wcStatuses = enumeration('wc_status', 'Completion statuses (renumbered against verbs)', {
  SUCCESS: [0, 'Done'],
  LOC_LEN_ERR: [1, 'Local length error'],
  LOC_QP_OP_ERR: [2, 'Local queue pair operation error'],
  LOC_PROT_ERR: [3, 'Local protection error'],
  WR_FLUSH_ERR: [4, 'Work request flushed'],
  BAD_RESP_ERR: [5, 'Bad response'],
  LOC_ACCESS_ERR: [6, 'Local access error'],
  REM_INV_REQ_ERR: [7, 'Remote invalid request'],
  REM_ACCESS_ERR: [8, 'Remote access error'],
  REM_OP_ERR: [9, 'Remote operation error'],
  RETRY_EXC_ERR: [10, 'Transport retry count exceeded'],
  RNR_RETRY_EXC_ERR: [11, 'Receiver-not-ready retry count exceeded'],
  REM_ABORT_ERR: [12, 'Remote aborted'],
  FATAL_ERR: [13, 'Fatal'],
  RESP_TIMEOUT_ERR: [14, 'Response timeout'],
  GENERAL_ERR: [15, 'General'],
});
export const WcStatus = wcStatuses.values;
export type WcStatus = (typeof WcStatus)[keyof typeof WcStatus];

export const wcFlags = flagSet('wc_flags', 'Completion flags', {
  GRH: [1, 'The first 40 bytes of the receive buffer hold the global route'],
  WITH_IMM: [2, 'imm_data is valid'],
});
export const WcFlag = wcFlags.values;

export const notifyFlags = flagSet('req_notify_flags', 'What REQ_NOTIFY_CQ arms for', {
  SOLICITED: [1, 'The next solicited completion or error'],
  NEXT_COMPLETION: [2, 'The next completion of any kind'],
});
export const NotifyFlag = notifyFlags.values;

export const deviceCapFlags = flagSet('device_cap_flags', 'Capabilities in QUERY_DEVICE', {
  RC_RNR_NAK_GEN: [1, 'The responder sends RNR NAK on RC'],
});
export const DeviceCapFlag = deviceCapFlags.values;

/** Every enumeration and flag set of the RDMA ABI, in the order in which the documentation lists them. */
export const allEnumerations = [
  commands,
  acks,
  accessFlags,
  qpTypes,
  qpStates,
  qpAttrMasks,
  pathMtus,
  wrOpcodes,
  sendFlags,
  wcOpcodes,
  wcStatuses,
  wcFlags,
  notifyFlags,
  deviceCapFlags,
] as const;

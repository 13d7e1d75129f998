/**
 * The numbers of the vhost-user protocol, as its published specification gives them: requests with what they carry and what
 * is answered, protocol features, flags and limits.
 */
import { enumeration, flagSet } from '../../abi/index.js';

/** Bit of the device features by which a back-end says that there are protocol features to negotiate. */
export const F_PROTOCOL_FEATURES = 30;

export const HEADER_BYTES = 12;
/** The longest payload that is taken; the longest of a known message has 2056 bytes. */
export const PAYLOAD_BYTES_MAX = 4096;
/** Regions in one SET_MEM_TABLE. */
export const TABLE_REGIONS_MAX = 8;
/** Bytes of configuration space in one message. */
export const CONFIG_BYTES_MAX = 256;
/** A queue number in a u64 payload has bits 0 to 7. */
export const QUEUE_MASK = 0xff;
/** Bit of a u64 payload: no descriptor comes along. */
export const NO_FD = 0x100;

export const MessageFlag = flagSet(
  'vhost_user_flags',
  'Flags of a message; the lowest two bits are its version.',
  {
    VERSION: [1, 'the only version there is'],
    REPLY: [4, 'an answer'],
    NEED_REPLY: [8, 'with REPLY_ACK: to be answered with 0, or something else when it failed'],
  },
);
export const VERSION_MASK = 3;

/** Bits of the protocol features. */
export const ProtocolFeature = enumeration('vhost_user_protocol_f', 'Protocol features, by bit.', {
  MQ: [0, 'GET_QUEUE_NUM'],
  LOG_SHMFD: [1, 'the log of written pages is shared by descriptor'],
  RARP: [2, 'SEND_RARP'],
  REPLY_ACK: [3, 'any request may be acknowledged'],
  MTU: [4, 'NET_SET_MTU'],
  BACKEND_REQ: [5, 'a second connection for requests of the back-end'],
  CROSS_ENDIAN: [6, 'SET_VRING_ENDIAN'],
  CRYPTO_SESSION: [7, 'sessions of a crypto device'],
  PAGEFAULT: [8, 'post-copy migration'],
  CONFIG: [9, 'GET_CONFIG and SET_CONFIG'],
  BACKEND_SEND_FD: [10, 'the back-end may send descriptors'],
  HOST_NOTIFIER: [11, 'notifications by mapped registers'],
  INFLIGHT_SHMFD: [12, 'what is in flight is kept in shared memory'],
  RESET_DEVICE: [13, 'RESET_DEVICE'],
  INBAND_NOTIFICATIONS: [14, 'kicks and calls as messages'],
  CONFIGURE_MEM_SLOTS: [15, 'regions one by one: ADD_MEM_REG and REM_MEM_REG'],
  STATUS: [16, 'GET_STATUS and SET_STATUS'],
  XEN_MMAP: [17, 'memory of Xen guests'],
  SHARED_OBJECT: [18, 'objects shared between devices'],
  DEVICE_STATE: [19, 'the device’s state can be moved'],
  SHMEM: [20, 'shared memory regions of the device'],
});

/** Requests of a front-end, by number. */
export const Request = enumeration('vhost_user_request', 'Requests of a front-end.', {
  GET_FEATURES: [1, 'device features that are offered'],
  SET_FEATURES: [2, 'device features that the driver accepted'],
  SET_OWNER: [3, 'a session begins'],
  RESET_OWNER: [4, 'outdated; stops all rings here'],
  SET_MEM_TABLE: [5, 'all regions of guest memory'],
  SET_LOG_BASE: [6, 'where written pages are logged'],
  SET_LOG_FD: [7, 'event for the log'],
  SET_VRING_NUM: [8, 'size of a queue'],
  SET_VRING_ADDR: [9, 'places of a queue, as addresses of the front-end’s'],
  SET_VRING_BASE: [10, 'the index at which a queue goes on'],
  GET_VRING_BASE: [11, 'stops a queue and asks for its index'],
  SET_VRING_KICK: [12, 'event that the driver signals'],
  SET_VRING_CALL: [13, 'event that the device signals'],
  SET_VRING_ERR: [14, 'event that tells of a broken queue'],
  GET_PROTOCOL_FEATURES: [15, 'protocol features that are offered'],
  SET_PROTOCOL_FEATURES: [16, 'protocol features in force'],
  GET_QUEUE_NUM: [17, 'how many queues there are'],
  SET_VRING_ENABLE: [18, 'enables or disables a queue'],
  SEND_RARP: [19, 'announces the guest after a migration'],
  NET_SET_MTU: [20, 'tells the MTU'],
  SET_BACKEND_REQ_FD: [21, 'socket for requests of the back-end'],
  IOTLB_MSG: [22, 'translations of an IOMMU'],
  SET_VRING_ENDIAN: [23, 'byte order of a legacy queue'],
  GET_CONFIG: [24, 'reads configuration space'],
  SET_CONFIG: [25, 'writes configuration space'],
  CREATE_CRYPTO_SESSION: [26, 'of a crypto device'],
  CLOSE_CRYPTO_SESSION: [27, 'of a crypto device'],
  POSTCOPY_ADVISE: [28, 'of a post-copy migration'],
  POSTCOPY_LISTEN: [29, 'of a post-copy migration'],
  POSTCOPY_END: [30, 'of a post-copy migration'],
  GET_INFLIGHT_FD: [31, 'asks for memory that keeps what is in flight'],
  SET_INFLIGHT_FD: [32, 'gives that memory back after a restart'],
  GPU_SET_SOCKET: [33, 'of a graphics device'],
  RESET_DEVICE: [34, 'resets the device'],
  VRING_KICK: [35, 'a kick as a message'],
  GET_MAX_MEM_SLOTS: [36, 'how many regions there may be'],
  ADD_MEM_REG: [37, 'one more region of guest memory'],
  REM_MEM_REG: [38, 'one region less'],
  SET_STATUS: [39, 'writes the device status'],
  GET_STATUS: [40, 'reads the device status'],
  GET_SHARED_OBJECT: [41, 'a buffer shared between devices'],
  SET_DEVICE_STATE_FD: [42, 'channel to move the device’s state'],
  CHECK_DEVICE_STATE: [43, 'whether that worked'],
  GET_SHMEM_CONFIG: [44, 'shared memory regions of the device'],
});
export type RequestName = (typeof Request.names)[number];

/** Kinds of payload; `messages.ts` has their layouts. */
export type PayloadKind =
  'none' | 'u64' | 'vring-state' | 'vring-address' | 'regions' | 'region' | 'config' | 'log' | 'inflight';

/** What a request carries and what is answered to it besides an acknowledgement. */
export interface RequestShape {
  readonly payload: PayloadKind;
  readonly reply?: PayloadKind;
  /** Descriptors that may come along: none when absent. `queue`: one, unless the payload says that there is none. */
  readonly fds?: 'one' | 'queue' | 'a region each' | 'at most one';
}

/** Of those requests that are understood here; every other one is of a feature that is not offered. */
export const requestShapes: Partial<Record<RequestName, RequestShape>> = {
  GET_FEATURES: { payload: 'none', reply: 'u64' },
  SET_FEATURES: { payload: 'u64' },
  SET_OWNER: { payload: 'none' },
  RESET_OWNER: { payload: 'none' },
  SET_MEM_TABLE: { payload: 'regions', fds: 'a region each' },
  SET_LOG_BASE: { payload: 'log', reply: 'u64', fds: 'one' },
  SET_LOG_FD: { payload: 'none', fds: 'one' },
  SET_VRING_NUM: { payload: 'vring-state' },
  SET_VRING_ADDR: { payload: 'vring-address' },
  SET_VRING_BASE: { payload: 'vring-state' },
  GET_VRING_BASE: { payload: 'vring-state', reply: 'vring-state' },
  SET_VRING_KICK: { payload: 'u64', fds: 'queue' },
  SET_VRING_CALL: { payload: 'u64', fds: 'queue' },
  SET_VRING_ERR: { payload: 'u64', fds: 'queue' },
  GET_PROTOCOL_FEATURES: { payload: 'none', reply: 'u64' },
  SET_PROTOCOL_FEATURES: { payload: 'u64' },
  GET_QUEUE_NUM: { payload: 'none', reply: 'u64' },
  SET_VRING_ENABLE: { payload: 'vring-state' },
  SEND_RARP: { payload: 'u64' },
  NET_SET_MTU: { payload: 'u64' },
  SET_BACKEND_REQ_FD: { payload: 'none', fds: 'one' },
  GET_CONFIG: { payload: 'config', reply: 'config' },
  SET_CONFIG: { payload: 'config' },
  GET_INFLIGHT_FD: { payload: 'inflight', reply: 'inflight' },
  SET_INFLIGHT_FD: { payload: 'inflight', fds: 'one' },
  RESET_DEVICE: { payload: 'none' },
  GET_MAX_MEM_SLOTS: { payload: 'none', reply: 'u64' },
  ADD_MEM_REG: { payload: 'region', fds: 'one' },
  REM_MEM_REG: { payload: 'region', fds: 'at most one' },
  SET_STATUS: { payload: 'u64' },
  GET_STATUS: { payload: 'none', reply: 'u64' },
};

/** A request for a person. */
export function requestName(request: number): string {
  return Request.nameOf(request) ?? `request ${request}`;
}

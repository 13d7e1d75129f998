/**
 * Every struct that crosses the guest/host line, with the layout of RFC v2 ("virtio-net: Add RoCE (RDMA over Converged
 * Ethernet) support", 11 May 2022): command data, answer data, work requests and completions.
 */
import { bytes, flexible, le16, le32, le64, nested, overlay, reserved, struct, u8 } from './layout.js';

export const commandHeader = struct(
  'virtio_rdma_ctrl_hdr',
  'First two bytes of every command, device-readable',
  {
    class: u8('Control class of the profile'),
    command: u8('Command code'),
  },
);

export const ackHeader = struct('virtio_rdma_ctrl_ack', 'First byte of every answer, device-writable', {
  ack: u8('0 OK, 1 ERR'),
});

export const queryDeviceAck = struct('virtio_rdma_ack_query_device', 'Limits of the device', {
  device_cap_flags: le64('Capability bits'),
  max_mr_size: le64('Longest memory region, bytes'),
  page_size_cap: le64('Bit map of supported page shifts'),
  hw_ver: le32('Free number of the vendor'),
  max_qp_wr: le32('Most outstanding work requests on one queue of a queue pair'),
  max_send_sge: le32('Most gather elements of a send'),
  max_recv_sge: le32('Most scatter elements of a receive'),
  max_sge_rd: le32('Most scatter elements of a read'),
  max_cqe: le32('Most entries of a completion queue'),
  max_mr: le32('Most memory regions'),
  max_pd: le32('Most protection domains'),
  max_qp_rd_atom: le32('Most reads a queue pair answers at one time'),
  max_qp_init_rd_atom: le32('Most reads a queue pair has outstanding at one time'),
  max_ah: le32('Most address handles'),
  local_ca_ack_delay: u8('Acknowledge delay, 4.096 us x 2^n'),
  padding: reserved('u8', 3),
  reserved: reserved('le32', 14),
});

export const queryPortAck = struct('virtio_rdma_ack_query_port', 'Limits of the port', {
  gid_tbl_len: le32('Entries of the GID table'),
  max_msg_sz: le32('Longest RC or UC message, bytes'),
  reserved: reserved('le32', 6),
});

export const createCqCommand = struct('virtio_rdma_cmd_create_cq', 'CREATE_CQ', {
  cqe: le32('Entries wanted'),
});
export const createCqAck = struct('virtio_rdma_ack_create_cq', 'Answer of CREATE_CQ', {
  cqn: le32('Number of the completion queue'),
});
export const destroyCqCommand = struct('virtio_rdma_cmd_destroy_cq', 'DESTROY_CQ', {
  cqn: le32('Number of the completion queue'),
});

export const createPdAck = struct('virtio_rdma_ack_create_pd', 'Answer of CREATE_PD', {
  pdn: le32('Number of the protection domain'),
});
export const destroyPdCommand = struct('virtio_rdma_cmd_destroy_pd', 'DESTROY_PD', {
  pdn: le32('Number of the protection domain'),
});

export const getDmaMrCommand = struct('virtio_rdma_cmd_get_dma_mr', 'GET_DMA_MR', {
  pdn: le32('Protection domain'),
  access_flags: le32('Rights'),
});
export const getDmaMrAck = struct('virtio_rdma_ack_get_dma_mr', 'Answer of GET_DMA_MR', {
  mrn: le32('Number of the memory region'),
  lkey: le32('Key for local use'),
  rkey: le32('Key for the peer; 0 without remote rights'),
});
export const regUserMrCommand = struct('virtio_rdma_cmd_reg_user_mr', 'REG_USER_MR', {
  pdn: le32('Protection domain'),
  access_flags: le32('Rights'),
  virt_addr: le64('First address of the region as requests name it'),
  length: le64('Length, bytes'),
  npages: le32('Entries of the page list'),
  padding: reserved('le32'),
  pages: flexible('le64', 'Guest-physical address of each page'),
});
export const regUserMrAck = struct('virtio_rdma_ack_reg_user_mr', 'Answer of REG_USER_MR', {
  mrn: le32('Number of the memory region'),
  lkey: le32('Key for local use'),
  rkey: le32('Key for the peer; 0 without remote rights'),
});
export const deregMrCommand = struct('virtio_rdma_cmd_dereg_mr', 'DEREG_MR', {
  mrn: le32('Number of the memory region'),
});

export const qpCap = struct('virtio_rdma_qp_cap', 'Capacities of a queue pair', {
  max_send_wr: le32('Outstanding sends'),
  max_recv_wr: le32('Outstanding receives'),
  max_send_sge: le32('Gather elements of a send'),
  max_recv_sge: le32('Scatter elements of a receive'),
  max_inline_data: le32('Inline bytes of a send, at most 512'),
  padding: reserved('le32'),
});

export const createQpCommand = struct('virtio_rdma_cmd_create_qp', 'CREATE_QP', {
  pdn: le32('Protection domain'),
  qp_type: u8('Transport service'),
  sq_sig_all: u8('1: every send completes with an entry'),
  padding: reserved('u8', 2),
  send_cqn: le32('Completion queue of the send queue'),
  recv_cqn: le32('Completion queue of the receive queue'),
  cap: nested(qpCap, 'Capacities wanted'),
  reserved: reserved('le32', 4),
});
export const createQpAck = struct('virtio_rdma_ack_create_qp', 'Answer of CREATE_QP', {
  qpn: le32('Number of the queue pair'),
});

export const globalRoute = struct('virtio_rdma_global_route', 'Route to a peer', {
  dgid: bytes(16, 'GID of the peer'),
  flow_label: le32('Flow label, 20 bits'),
  sgid_index: u8('Own GID table entry'),
  hop_limit: u8('Hop limit'),
  traffic_class: u8('Traffic class'),
  padding: reserved('u8'),
});
export const ahAttr = struct('virtio_rdma_ah_attr', 'Address vector', {
  grh: nested(globalRoute, 'Global route'),
  dmac: bytes(6, 'MAC address of the next hop'),
  reserved: reserved('u8', 10),
});

export const modifyQpCommand = struct('virtio_rdma_cmd_modify_qp', 'MODIFY_QP', {
  qpn: le32('Number of the queue pair'),
  attr_mask: le32('Attributes to change'),
  qp_state: u8('State to move to'),
  cur_qp_state: u8('State the driver believes in'),
  path_mtu: u8('Path MTU code'),
  max_rd_atomic: u8('Reads outstanding as requester'),
  max_dest_rd_atomic: u8('Reads answered as responder'),
  min_rnr_timer: u8('RNR NAK timer code, 0..31'),
  timeout: u8('Acknowledge timeout code, 0..31; 0 waits for ever'),
  retry_cnt: u8('Transport retries, 0..7'),
  rnr_retry: u8('RNR retries, 0..7; 7 without end'),
  padding: reserved('u8', 7),
  qkey: le32('Queue key'),
  rq_psn: le32('First packet sequence number expected, 24 bits'),
  sq_psn: le32('First packet sequence number sent, 24 bits'),
  dest_qp_num: le32("Peer's queue pair number"),
  qp_access_flags: le32('Rights of the peer'),
  rate_limit: le32('Rate limit, kbit/s'),
  cap: nested(qpCap, 'Capacities'),
  ah_attr: nested(ahAttr, 'Address vector of the peer'),
  reserved: reserved('le32', 4),
});

export const queryQpCommand = struct('virtio_rdma_cmd_query_qp', 'QUERY_QP', {
  qpn: le32('Number of the queue pair'),
  attr_mask: le32('Attributes wanted'),
});
export const queryQpAck = struct('virtio_rdma_ack_query_qp', 'Answer of QUERY_QP', {
  qp_state: u8('State'),
  path_mtu: u8('Path MTU code'),
  sq_draining: u8('1 while the send queue drains'),
  max_rd_atomic: u8('Reads outstanding as requester'),
  max_dest_rd_atomic: u8('Reads answered as responder'),
  min_rnr_timer: u8('RNR NAK timer code'),
  timeout: u8('Acknowledge timeout code'),
  retry_cnt: u8('Transport retries'),
  rnr_retry: u8('RNR retries'),
  padding: reserved('u8', 7),
  qkey: le32('Queue key'),
  rq_psn: le32('Packet sequence number of the receive queue'),
  sq_psn: le32('Packet sequence number of the send queue'),
  dest_qp_num: le32("Peer's queue pair number"),
  qp_access_flags: le32('Rights of the peer'),
  rate_limit: le32('Rate limit, kbit/s'),
  cap: nested(qpCap, 'Capacities granted'),
  ah_attr: nested(ahAttr, 'Address vector of the peer'),
  reserved: reserved('le32', 4),
});
export const destroyQpCommand = struct('virtio_rdma_cmd_destroy_qp', 'DESTROY_QP', {
  qpn: le32('Number of the queue pair'),
});

export const createAhCommand = struct('virtio_rdma_cmd_create_ah', 'CREATE_AH', {
  pdn: le32('Protection domain'),
  padding: reserved('le32'),
  ah_attr: nested(ahAttr, 'Address vector'),
});
export const createAhAck = struct('virtio_rdma_ack_create_ah', 'Answer of CREATE_AH', {
  ah: le32('Number of the address handle'),
});
export const destroyAhCommand = struct('virtio_rdma_cmd_destroy_ah', 'DESTROY_AH', {
  pdn: le32('Protection domain of the address handle'),
  ah: le32('Number of the address handle'),
});

export const addGidCommand = struct('virtio_rdma_cmd_add_gid', 'ADD_GID', {
  index: le16('Entry of the GID table'),
  padding: reserved('le16', 3),
  gid: bytes(16, 'GID'),
});
export const delGidCommand = struct('virtio_rdma_cmd_del_gid', 'DEL_GID', {
  index: le16('Entry of the GID table'),
});

export const reqNotifyCommand = struct('virtio_rdma_cmd_req_notify', 'REQ_NOTIFY_CQ', {
  cqn: le32('Number of the completion queue'),
  flags: le32('What to arm for'),
});

export const sge = struct('virtio_rdma_sge', 'One element of a gather or scatter list', {
  addr: le64('Address within the region'),
  length: le32('Length, bytes'),
  lkey: le32('Key of the region'),
});

/** Capacity of {@link sqReq}'s inline area, bytes. */
export const INLINE_DATA_MAX = 512;

export const sqReq = struct('virtio_rdma_sq_req', 'Send work request, device-readable', {
  wr_id: le64("The program's own number, handed back in the completion"),
  opcode: u8('wr_opcode'),
  send_flags: u8('send_flags'),
  padding: reserved('le16'),
  imm_data: le32('Immediate data, four bytes in network order, passed through unchanged'),
  wr: overlay(32, 'virtio_rdma_wr_rdma for writes and reads, virtio_rdma_wr_ud for datagrams'),
  inline_data: overlay(INLINE_DATA_MAX, 'Data of a request with the INLINE flag'),
  num_sge: le32('Gather elements; with the INLINE flag its first two bytes are the inline length'),
  reserved2: reserved('le32', 3),
  sg_list: flexible(sge, 'Gather list'),
});
export const wrRdma = struct('virtio_rdma_wr_rdma', 'Overlay of virtio_rdma_sq_req.wr for writes and reads', {
  remote_addr: le64("Address within the peer's region"),
  rkey: le32("Key of the peer's region"),
});
export const wrUd = struct('virtio_rdma_wr_ud', 'Overlay of virtio_rdma_sq_req.wr for datagrams', {
  remote_qpn: le32("Peer's queue pair number"),
  remote_qkey: le32("Peer's queue key"),
  ah: le32('Address handle'),
});

export const rqReq = struct('virtio_rdma_rq_req', 'Receive work request, device-readable', {
  wr_id: le64("The program's own number, handed back in the completion"),
  num_sge: le32('Scatter elements'),
  reserved: reserved('le32', 3),
  sg_list: flexible(sge, 'Scatter list'),
});

export const cqReq = struct('virtio_rdma_cq_req', 'Completion, device-writable', {
  wr_id: le64('wr_id of the request'),
  status: u8('wc_status'),
  opcode: u8('wc_opcode; valid on success'),
  padding: reserved('le16'),
  vendor_err: le32('Free number of the vendor on an error'),
  byte_len: le32('Bytes received or read; valid on success'),
  imm_data: le32('Immediate data, four bytes in network order; valid with WITH_IMM'),
  qp_num: le32('Number of the queue pair'),
  src_qp: le32("Sender's queue pair number; datagrams only"),
  wc_flags: le32('wc_flags; valid on success'),
  reserved: reserved('le32', 3),
});

/** Every struct, in the order in which the documentation lists them. */
export const allStructs = [
  commandHeader,
  ackHeader,
  queryDeviceAck,
  queryPortAck,
  createCqCommand,
  createCqAck,
  destroyCqCommand,
  createPdAck,
  destroyPdCommand,
  getDmaMrCommand,
  getDmaMrAck,
  regUserMrCommand,
  regUserMrAck,
  deregMrCommand,
  qpCap,
  createQpCommand,
  createQpAck,
  globalRoute,
  ahAttr,
  modifyQpCommand,
  queryQpCommand,
  queryQpAck,
  destroyQpCommand,
  createAhCommand,
  createAhAck,
  destroyAhCommand,
  addGidCommand,
  delGidCommand,
  reqNotifyCommand,
  sge,
  sqReq,
  wrRdma,
  wrUd,
  rqReq,
  cqReq,
] as const;

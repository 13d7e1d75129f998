/** What a probe puts into rings: the 18 commands with their structs, send and receive requests, address vectors. */
import {
  SendFlag,
  WrOpcode,
  regUserMrCommand,
  rqReq,
  sge,
  sqReq,
  wrRdma,
  wrUd,
  writeLe64,
  commandShapes,
} from '../../../abi/index.js';
import type { Struct } from '../../../abi/index.js';

export const {
  QUERY_DEVICE: queryDevice,
  QUERY_PORT: queryPort,
  CREATE_CQ: createCq,
  DESTROY_CQ: destroyCq,
  CREATE_PD: createPd,
  DESTROY_PD: destroyPd,
  GET_DMA_MR: getDmaMr,
  REG_USER_MR: regUserMr,
  DEREG_MR: deregMr,
  CREATE_QP: createQp,
  MODIFY_QP: modifyQp,
  QUERY_QP: queryQp,
  DESTROY_QP: destroyQp,
  CREATE_AH: createAh,
  DESTROY_AH: destroyAh,
  ADD_GID: addGid,
  DEL_GID: delGid,
  REQ_NOTIFY_CQ: reqNotifyCq,
} = commandShapes;

export function bytesOf<V>(layout: Struct<V>, value: Partial<V>): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  layout.encode(viewOf(bytes), 0, { ...layout.zero(), ...value });
  return bytes;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** REG_USER_MR's struct and page list; `npages` counts the list unless the fields say otherwise. */
export function regUserMrBytes(
  fields: Partial<ReturnType<typeof regUserMrCommand.zero>>,
  pages: readonly number[],
): Uint8Array {
  const data = new Uint8Array(regUserMrCommand.size + 8 * pages.length);
  data.set(bytesOf(regUserMrCommand, { npages: pages.length, ...fields }));
  pages.forEach((page, i) => writeLe64(viewOf(data), regUserMrCommand.size + 8 * i, page));
  return data;
}

/** Addresses of the pages that hold [address, address+length). */
export function pagesOf(address: number, length: number): number[] {
  const pages: number[] = [];
  for (let page = address - (address % 4096); page < address + length; page += 4096) pages.push(page);
  return pages;
}

export interface SgeValue {
  readonly addr: number;
  readonly length: number;
  readonly lkey: number;
}

export interface SendFields {
  readonly wrId?: number;
  readonly opcode?: number;
  /** SIGNALED when absent; INLINE is added when there are inline bytes. */
  readonly flags?: number;
  /** Four bytes, the first one the highest. */
  readonly imm?: number;
  readonly sges?: readonly SgeValue[];
  /** In place of the number of elements, or of inline bytes. */
  readonly numSge?: number;
  readonly inline?: Uint8Array;
  readonly rdma?: { readonly remote_addr: number; readonly rkey: number };
  readonly ud?: { readonly remote_qpn: number; readonly remote_qkey: number; readonly ah: number };
}

/** The bytes of a send request: a signaled SEND without bytes unless the fields say otherwise. */
export function sendRequest(fields: SendFields = {}): Uint8Array {
  const sges = fields.sges ?? [];
  const bytes = new Uint8Array(sqReq.size + sge.size * sges.length);
  const view = viewOf(bytes);
  const inline = fields.inline === undefined ? 0 : SendFlag.INLINE;
  sqReq.encode(view, 0, {
    ...sqReq.zero(),
    wr_id: fields.wrId ?? 0,
    opcode: fields.opcode ?? WrOpcode.SEND,
    send_flags: (fields.flags ?? SendFlag.SIGNALED) | inline,
    num_sge: fields.numSge ?? fields.inline?.length ?? sges.length,
  });
  view.setUint32(sqReq.offsets.imm_data, fields.imm ?? 0);
  if (fields.rdma !== undefined) wrRdma.encode(view, sqReq.offsets.wr, fields.rdma);
  if (fields.ud !== undefined) wrUd.encode(view, sqReq.offsets.wr, fields.ud);
  if (fields.inline !== undefined) bytes.set(fields.inline.subarray(0, 512), sqReq.offsets.inline_data);
  sges.forEach((element, i) => sge.encode(view, sqReq.size + sge.size * i, { ...element }));
  return bytes;
}

export function recvRequest(wrId: number, sges: readonly SgeValue[] = [], numSge = sges.length): Uint8Array {
  const bytes = new Uint8Array(rqReq.size + sge.size * sges.length);
  const view = viewOf(bytes);
  rqReq.encode(view, 0, { wr_id: wrId, num_sge: numSge });
  sges.forEach((element, i) => sge.encode(view, rqReq.size + sge.size * i, { ...element }));
  return bytes;
}

/** GID `number` of machine `vm`: an IPv6 address of its own. */
export function gidOf(vm: number, number = 0): Uint8Array {
  const gid = new Uint8Array(16);
  gid[0] = 0xfd;
  viewOf(gid).setUint32(8, vm + 1);
  viewOf(gid).setUint32(12, number + 1);
  return gid;
}

export function addressVector(dgid: Uint8Array, sgidIndex = 0, flowLabel = 0) {
  const grh = { dgid, flow_label: flowLabel, sgid_index: sgidIndex, hop_limit: 64, traffic_class: 0 };
  return { grh, dmac: new Uint8Array(6) };
}

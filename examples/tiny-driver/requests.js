/** Send and receive requests, chapter 7 of the specification: what a post refuses, and the bytes that go into the ring. */
import * as abi from 'vrdma/abi';
import { checkFields, need } from './fields.js';

const { QpState, QpType, SendFlag, WrOpcode } = abi;

/** Stands in a request for an address handle that is gone: its number may be another one's by now. */
const NO_HANDLE = 0xffff_ffff;

const DATAGRAM = [WrOpcode.SEND, WrOpcode.SEND_WITH_IMM];
const UNRELIABLE = [...DATAGRAM, WrOpcode.RDMA_WRITE, WrOpcode.RDMA_WRITE_WITH_IMM];
const opcodesOf = {
  [QpType.RC]: [...UNRELIABLE, WrOpcode.RDMA_READ],
  [QpType.UC]: UNRELIABLE,
  [QpType.UD]: DATAGRAM,
  [QpType.GSI]: DATAGRAM,
};
const flags = Object.values(SendFlag).reduce((all, flag) => all | flag);

/** Bytes of a message. */
export function total(elements) {
  return elements.reduce((sum, { length }) => sum + length, 0);
}

/**
 * Checks a send by the table of section 10.2. Returns how many bytes the request has, and what writes them.
 * @param limits `activeMtu` is the code of the port's active MTU, `maxSgeRd` bounds the elements of a read
 * @param exists whether an address handle does
 */
export function encodeSend(verb, qp, request, { activeMtu, maxSgeRd }, exists) {
  const { wrId, opcode, sendFlags, sges, inlineData, immData = 0 } = request;
  need(![QpState.RESET, QpState.INIT, QpState.RTR].includes(qp.state), verb, `no sends in state ${qp.state}`);
  need(opcodesOf[qp.type].includes(opcode), verb, `opcode ${opcode} is not one of this queue pair`);
  need((sendFlags & ~flags) === 0, verb, `unknown flag in ${sendFlags}`);
  const inline = (sendFlags & SendFlag.INLINE) !== 0;
  const read = opcode === WrOpcode.RDMA_READ;
  need(!read || (!inline && qp.maxRdAtomic > 0), verb, 'no such read is allowed');
  const data = (inline ? inlineData : undefined) ?? new Uint8Array();
  const elements = inline ? [] : sges;
  need(data.length <= qp.cap.maxInlineData, verb, 'more inline bytes than the capacity');
  need(elements.length <= qp.cap.maxSendSge, verb, 'more elements than the capacity');
  need(!read || elements.length <= maxSgeRd, verb, 'more elements than a read may have');
  const bytes = data.length + total(elements);
  const fitsPacket = opcodesOf[qp.type] !== DATAGRAM || bytes <= abi.pathMtuBytes(activeMtu);
  need(fitsPacket, verb, 'a datagram longer than the active MTU');
  const count = inline ? data.length : elements.length;
  const fields = { wr_id: wrId, opcode, send_flags: sendFlags, imm_data: immData, num_sge: count };
  checkFields(verb, abi.sqReq, fields);
  const target = targetOf(verb, qp, request, exists);
  const list = encodeElements(verb, elements);
  const write = slot => {
    abi.sqReq.encode(slot.view, 0, fields);
    slot.view.setUint32(abi.sqReq.offsets.imm_data, immData, false);
    target?.codec.encode(slot.view, abi.sqReq.offsets.wr, target.fields);
    slot.bytes.set(data, abi.sqReq.offsets.inline_data);
    slot.bytes.set(list, abi.sqReq.size);
  };
  return { length: abi.sqReq.size + list.length, write };
}

/** The same for a receive. */
export function encodeReceive(verb, qp, { wrId, sges }) {
  need(qp.state !== QpState.RESET, verb, 'no receives in RESET');
  need(sges.length <= qp.cap.maxRecvSge, verb, 'more elements than the capacity');
  const fields = { wr_id: wrId, num_sge: sges.length };
  checkFields(verb, abi.rqReq, fields);
  const list = encodeElements(verb, sges);
  const write = slot => {
    abi.rqReq.encode(slot.view, 0, fields);
    slot.bytes.set(list, abi.rqReq.size);
  };
  return { length: abi.rqReq.size + list.length, write };
}

/** The part of a send request that depends on opcode and service [DATA-02]. */
function targetOf(verb, qp, { opcode, remoteAddr = 0, rkey = 0, ah, remoteQpn = 0, remoteQkey = 0 }, exists) {
  const target = { codec: abi.wrRdma, fields: { remote_addr: remoteAddr, rkey } };
  if (opcodesOf[qp.type] === DATAGRAM) {
    need(ah !== undefined, verb, 'a datagram without an address handle');
    target.codec = abi.wrUd;
    const number = exists(ah) ? ah.number : NO_HANDLE;
    target.fields = { remote_qpn: remoteQpn, remote_qkey: remoteQkey, ah: number };
  } else if (DATAGRAM.includes(opcode)) return undefined;
  checkFields(verb, target.codec, target.fields);
  return target;
}

function encodeElements(verb, elements) {
  const list = new Uint8Array(elements.length * abi.sge.size);
  const view = new DataView(list.buffer);
  for (const [i, element] of elements.entries()) {
    checkFields(verb, abi.sge, element);
    abi.sge.encode(view, i * abi.sge.size, element);
  }
  return list;
}

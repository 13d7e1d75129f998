/**
 * Decodes work requests from a copy of their bytes, without allocating: the copy, the request and its elements are used
 * again for every request. An HCA copies what it needs before its post returns.
 */
import { INLINE_DATA_MAX, SendFlag, WrOpcode, rqReq, sge, sqReq, wrRdma, wrUd } from '../abi/index.js';
import { readLe64 } from '../abi/index.js';
import type { HcaAh } from '../reference/hca.js';
import type { QpCap, RecvWorkRequest, SendWorkRequest, Sge } from '../verbs/index.js';
import type { DescriptorChain } from '../virtio/index.js';
import type { RequestIds } from './request-ids.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What the decoder must know of a queue pair. */
export interface RequestShape {
  readonly cap: QpCap;
  /** Requests name an address handle and a queue pair: the service is UD or GSI. */
  readonly datagrams: boolean;
}

const allFlags = SendFlag.FENCE | SendFlag.SIGNALED | SendFlag.SOLICITED | SendFlag.INLINE;

export class RequestDecoder {
  /** The request that {@link decodeSend} filled. */
  readonly send: SendWorkRequest<HcaAh>;
  /** The request that {@link decodeRecv} filled. */
  readonly recv: RecvWorkRequest;
  /** Bytes of payload that the last request named. */
  payloadBytes = 0;

  readonly #ids: RequestIds;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #send: Mutable<SendWorkRequest<HcaAh>> = { wrId: 0, opcode: 0, sendFlags: 0, sges: [] };
  readonly #recv: Mutable<RecvWorkRequest> = { wrId: 0, sges: [] };
  readonly #elements: Mutable<Sge>[] = [];
  /** The first n elements as a list, by n; so that a list of any length is there without making one. */
  readonly #lists: Sge[][] = [[]];
  /** Views of the inline data by length, each made when it is first needed. */
  readonly #inline = new Map<number, Uint8Array>();

  /** @param maxSge most elements of any request. */
  constructor(maxSge: number, ids: RequestIds) {
    this.#ids = ids;
    this.#bytes = new Uint8Array(sqReq.size + maxSge * sge.size);
    this.#view = new DataView(this.#bytes.buffer);
    for (let n = 1; n <= maxSge; n++) {
      this.#elements.push({ addr: 0, length: 0, lkey: 0 });
      this.#lists.push(this.#elements.slice());
    }
    this.send = this.#send;
    this.recv = this.#recv;
  }

  /**
   * Reads a send request. False: it is malformed; `send.wrId` is valid all the same (bytes that are missing are zero).
   * `findAh` finds an address handle by its number.
   */
  decodeSend(
    chain: DescriptorChain,
    shape: RequestShape,
    findAh: (number: number) => HcaAh | undefined,
  ): boolean {
    const { offsets } = sqReq;
    const request = this.#send;
    const view = this.#view;
    const length = this.#copy(chain, sqReq.size, shape.cap.maxSendSge);
    const opcode = view.getUint8(offsets.opcode);
    const flags = view.getUint8(offsets.send_flags);
    request.wrId = this.#ids.read(view, offsets.wr_id);
    this.payloadBytes = 0;
    if (length < sqReq.size || !isOpcode(opcode) || (flags & ~allFlags) !== 0) return false;
    request.opcode = opcode;
    request.sendFlags = flags;
    request.immData = view.getUint32(offsets.imm_data, false);
    if ((flags & SendFlag.INLINE) !== 0) {
      if (!this.#takeInline(opcode, shape.cap.maxInlineData)) return false;
    } else {
      const count = view.getUint32(offsets.num_sge, true);
      if (count > shape.cap.maxSendSge || length < sqReq.size + count * sge.size) return false;
      request.inlineData = undefined;
      request.sges = this.#takeElements(sqReq.size, count);
    }
    return shape.datagrams ? this.#takeDatagram(findAh) : this.#takeConnected();
  }

  /** Reads a receive request. False: it is malformed; `recv.wrId` is valid all the same. */
  decodeRecv(chain: DescriptorChain, shape: RequestShape): boolean {
    const length = this.#copy(chain, rqReq.size, shape.cap.maxRecvSge);
    this.#recv.wrId = this.#ids.read(this.#view, rqReq.offsets.wr_id);
    this.payloadBytes = 0;
    if (length < rqReq.size) return false;
    const count = this.#view.getUint32(rqReq.offsets.num_sge, true);
    if (count > shape.cap.maxRecvSge || length < rqReq.size + count * sge.size) return false;
    this.#recv.sges = this.#takeElements(rqReq.size, count);
    return true;
  }

  /** Copies the fixed part and as many elements as the cap allows; returns the bytes that were there. */
  #copy(chain: DescriptorChain, fixed: number, maxSge: number): number {
    const length = chain.copyReadable(0, this.#bytes, 0, fixed + maxSge * sge.size);
    if (length < fixed) this.#bytes.fill(0, length, fixed);
    return length;
  }

  #takeInline(opcode: WrOpcode, maxInline: number): boolean {
    const length = this.#view.getUint16(sqReq.offsets.num_sge, true);
    if (opcode === WrOpcode.RDMA_READ || length > maxInline || length > INLINE_DATA_MAX) return false;
    this.#send.inlineData = this.#inlineView(length);
    this.#send.sges = this.#lists[0];
    this.payloadBytes = length;
    return true;
  }

  #inlineView(length: number): Uint8Array {
    let view = this.#inline.get(length);
    if (view === undefined) {
      const start = sqReq.offsets.inline_data;
      view = this.#bytes.subarray(start, start + length);
      this.#inline.set(length, view);
    }
    return view;
  }

  #takeElements(at: number, count: number): Sge[] {
    const view = this.#view;
    for (let i = 0; i < count; i++) {
      const element = this.#elements[i];
      const offset = at + i * sge.size;
      element.addr = readLe64(view, offset + sge.offsets.addr);
      element.length = view.getUint32(offset + sge.offsets.length, true);
      element.lkey = view.getUint32(offset + sge.offsets.lkey, true);
      this.payloadBytes += element.length;
    }
    return this.#lists[count];
  }

  #takeConnected(): boolean {
    const request = this.#send;
    request.remoteAddr = readLe64(this.#view, sqReq.offsets.wr + wrRdma.offsets.remote_addr);
    request.rkey = this.#view.getUint32(sqReq.offsets.wr + wrRdma.offsets.rkey, true);
    request.ah = undefined;
    request.remoteQpn = undefined;
    request.remoteQkey = undefined;
    return true;
  }

  #takeDatagram(findAh: (number: number) => HcaAh | undefined): boolean {
    const request = this.#send;
    const at = sqReq.offsets.wr;
    request.remoteAddr = undefined;
    request.rkey = undefined;
    request.remoteQpn = this.#view.getUint32(at + wrUd.offsets.remote_qpn, true);
    request.remoteQkey = this.#view.getUint32(at + wrUd.offsets.remote_qkey, true);
    request.ah = findAh(this.#view.getUint32(at + wrUd.offsets.ah, true));
    return request.ah !== undefined;
  }
}

function isOpcode(value: number): value is WrOpcode {
  return value <= WrOpcode.RDMA_READ;
}

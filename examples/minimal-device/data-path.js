/** Requests on their way to the adapter and completions on their way back, chapters 7 and 8 of the specification. */
import { gather, keep, scatter, u32, u64, words } from './ring.js';

const [SGE_BYTES, COMPLETION_BYTES] = [16, 48];
const [RDMA_WRITE_WITH_IMM, SEND_WITH_IMM, INLINE] = [1, 3, 8];
const [SUCCESS, LOC_LEN_ERR, LOC_QP_OP_ERR, WITH_IMM] = [0, 1, 2, 2];
const [INIT, RTS] = [1, 3];
const recvs = { fixedBytes: 24, from: INIT, post: 'postRecv', fail: 'postFaultyRecv' };
const sends = { fixedBytes: 576, from: RTS, post: 'postSend', fail: 'postFaultySend' };
const [SOLICITED, NEXT_COMPLETION] = [1, 2];
/** What a completion says that is none of a success [CQ-26]. */
const nothing = { opcode: 0, byteLen: 0, srcQp: 0, wcFlags: 0 };

/** The halves of a new queue pair: its rings, how many requests they hold and may hold, from which state on they are read. */
export function halves({ maxSendWr, maxRecvWr, maxSendSge, maxRecvSge }, sendRing, recvRing) {
  const send = { ring: sendRing, room: maxSendWr, sgesMost: maxSendSge, held: 0, ...sends };
  return { send, recv: { ring: recvRing, room: maxRecvWr, sgesMost: maxRecvSge, held: 0, ...recvs } };
}

export class DataPath {
  /** By cookie: a request that the adapter has. */
  requests = new Map();
  lastCookie = 0;

  constructor(device) {
    this.device = device;
  }

  /** Hands one request to the adapter. False when none is there or its time has not come. */
  take(qp, half) {
    const { adapter, memory } = this.device;
    const { ring, fixedBytes, sgesMost, held, room, from } = half;
    if (ring.waiting === 0 || held >= room || adapter.queryQp(qp.hca).qpState < from) return false;
    ring.ask(false);
    const { head, readable, readableBytes: bytes } = ring.take();
    const view = gather(memory, readable, 0, fixedBytes + SGE_BYTES * sgesMost);
    const wrId = ++this.lastCookie;
    this.requests.set(wrId, { half, head, wrIdLow: u32(view, 0), wrIdHigh: u32(view, 4) });
    half.held++;
    const isSend = half === qp.send;
    const request = isSend ? this.sendRequest(qp, view, bytes) : elements(view, half, u32(view, 8), bytes);
    try {
      if (typeof request === 'number') adapter[half.fail](qp.hca, wrId, request, wrId);
      else adapter[half.post](qp.hca, { wrId, ...request }, wrId);
    } catch (error) {
      // What the adapter finds wrong makes no sense either [DATA-13] [DATA-16] [DATA-17] [DATA-19].
      if (error.errno !== 'EINVAL') throw error;
      adapter[half.fail](qp.hca, wrId, LOC_QP_OP_ERR, wrId);
    }
    return true;
  }

  /** The request as the adapter wants it, or the status with which it fails. */
  sendRequest({ send, pd, cap, datagrams }, view, readableBytes) {
    const [opcode, sendFlags] = [view.getUint8(8), view.getUint8(9)];
    const inline = (sendFlags & INLINE) !== 0;
    const inlineBytes = inline ? view.getUint16(560, true) : 0;
    const request = elements(view, send, inline ? 0 : u32(view, 560), readableBytes);
    if (request === LOC_QP_OP_ERR || inlineBytes > cap.maxInlineData) return LOC_QP_OP_ERR;
    Object.assign(request, { opcode, sendFlags });
    if (inline) request.inlineData = new Uint8Array(view.buffer, 48, inlineBytes);
    if (opcode === RDMA_WRITE_WITH_IMM || opcode === SEND_WITH_IMM) request.immData = view.getUint32(12);
    if (!datagrams) return { ...request, remoteAddr: u64(view, 16), rkey: u32(view, 24) };
    const handle = this.device.ahs.get(u32(view, 24));
    if (handle?.pd !== pd) return LOC_QP_OP_ERR;
    const bytes = request.sges.reduce((sum, { length }) => sum + length, inlineBytes);
    if (bytes > this.device.activeMtuBytes) return LOC_LEN_ERR;
    return { ...request, remoteQpn: u32(view, 16), remoteQkey: u32(view, 20), ah: handle.hca };
  }

  /** The adapter is done with a request. A completion that it adds now is of that request. */
  retire(cookie) {
    this.retired = this.requests.get(cookie);
    this.requests.delete(cookie);
    this.retired.half.held--;
    this.retired.half.ring.put(this.retired.head, 0);
    this.device.wake();
  }

  /** A new completion queue. Its completions stay with the adapter, and a note on each here, until there is a buffer. */
  openCq(cqe, ring) {
    const cq = { cqe, ring, hca: undefined, armed: 0, notes: [], buffersMost: 0 };
    cq.hca = this.device.adapter.createCq(cqe, {
      completionAdded: (_, __, solicited) => {
        cq.notes.push({ ...this.retired, solicited });
        this.device.wake();
      },
      eventRaised: () => {},
      unconsumed: () => cq.buffersMost - countBuffers(cq),
      overran: () => this.device.wake(),
    });
    ring.ask(false);
    return cq;
  }

  /** Gives the driver what has a buffer: the completions of the highest queue pair first, the last buffer first. */
  deliver(cq) {
    const { ring, notes } = cq;
    if (notes.length === 0) return ring.ask(false);
    const count = Math.min(notes.length, ring.waiting);
    countBuffers(cq);
    const entries = notes.splice(0, count);
    this.device.adapter.pollCq(cq.hca, entries, count);
    entries.sort((a, b) => b.qpNum - a.qpNum);
    const buffers = entries.map(() => ring.take());
    for (const entry of entries) this.give(cq, entry, buffers.pop());
    ring.ask(notes.length > 0);
  }

  give(cq, entry, { head, writable, writableBytes }) {
    keep('CQ-13', writableBytes >= COMPLETION_BYTES);
    const { wrIdLow, wrIdHigh, status, qpNum, solicited } = entry;
    const { opcode, byteLen, srcQp, wcFlags } = status === SUCCESS ? entry : nothing;
    const first = [wrIdLow, wrIdHigh, status | (opcode << 8), 0];
    const view = words(COMPLETION_BYTES, 0, [...first, byteLen, 0, qpNum, srcQp, wcFlags]);
    if ((wcFlags & WITH_IMM) !== 0) view.setUint32(20, entry.immData);
    scatter(this.device.memory, writable, new Uint8Array(view.buffer));
    cq.ring.put(head, COMPLETION_BYTES);
    if ((cq.armed & (solicited ? SOLICITED | NEXT_COMPLETION : NEXT_COMPLETION)) === 0) return;
    cq.armed = 0;
    cq.ring.event = true;
  }
}

/** Buffers that the driver has available, as far as they count, and the most that there have been [CQ-28] [CQ-31]. */
function countBuffers(cq) {
  const buffers = Math.min(cq.ring.claimed, cq.cqe);
  cq.buffersMost = Math.max(cq.buffersMost, buffers);
  return buffers;
}

/** The list behind the fixed part; LOC_QP_OP_ERR when it has too many elements or is cut short. */
function elements(view, { fixedBytes, sgesMost }, count, readableBytes) {
  if (count > sgesMost || readableBytes < fixedBytes + SGE_BYTES * count) return LOC_QP_OP_ERR;
  const element = at => ({ addr: u64(view, at), length: u32(view, at + 8), lkey: u32(view, at + 12) });
  return { sges: Array.from({ length: count }, (_, i) => element(fixedBytes + SGE_BYTES * i)) };
}
